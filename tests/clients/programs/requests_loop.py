"""The line loop over `requests` that a script would use, with resume."""

import json
import sys
import time

import requests


def report(**line):
    print(json.dumps(line), flush=True)


def follow(url):
    last, pause = None, 1.0
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=(5, 45)) as answer:
                answer.raise_for_status()
                block, opened = {}, False
                # Lines as bytes. `decode_unicode=True` would also split at U+2028, U+2029 and U+0085, which a
                # payload may hold, and takes text without a charset for Latin-1.
                for line in answer.iter_lines():
                    if line:
                        field, _, value = line.partition(b":")
                        block[field.decode()] = value.removeprefix(b" ").decode()
                        continue
                    last = block.get("id", last)  # the block is complete: only now does its id count
                    pause = int(block["retry"]) / 1000 if "retry" in block else pause
                    if not opened:
                        opened = True
                        report(what="open", cursor=last)
                    if "data" in block:
                        report(what="event", id=last, name=block.get("event", "message"), data=block["data"])
                    block = {}
            report(what="lost", clean=True, why="end of the response")
        except requests.RequestException as error:
            report(what="lost", clean=False, why=repr(error))
        time.sleep(pause)  # the pause that the service asked for with `retry:`


follow(sys.argv[1])
