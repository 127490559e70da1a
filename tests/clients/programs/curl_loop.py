"""`curl -N` in a loop: run again with the `Last-Event-ID` header whenever it ends.

What it saw goes to stdout, one JSON object a line; the other programs in this folder speak the same lines.
"""

import json
import subprocess
import sys
import time


def report(**line):
    print(json.dumps(line), flush=True)


def follow(url):
    last, pause = None, 1.0
    while True:
        command = ["curl", "-N", "-sS", "--fail", url]
        if last:
            command[1:1] = ["-H", f"Last-Event-ID: {last}"]
        curl = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        block, opened = {}, False
        for line in curl.stdout:  # a file of bytes: lines end at \n and nowhere else
            if not line.endswith(b"\n"):
                break  # cut off in the middle of a line
            line = line[:-1]
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
        code = curl.wait()
        report(what="lost", clean=code == 0, why=curl.stderr.read().decode().strip() or f"curl exit {code}")
        time.sleep(pause)  # the pause that the service asked for with `retry:`


follow(sys.argv[1])
