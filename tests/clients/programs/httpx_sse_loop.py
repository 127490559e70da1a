"""`httpx-sse` with resume. It yields id-only blocks as events with empty data, so a script tests for data."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def report(**line):
    print(json.dumps(line), flush=True)


def follow(url):
    last, pause = None, 1.0
    with httpx.Client(timeout=httpx.Timeout(5, read=45)) as client:
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                with connect_sse(client, "GET", url, headers=headers) as source:
                    source.response.raise_for_status()
                    opened = False
                    for sse in source.iter_sse():
                        last = sse.id or last
                        pause = pause if sse.retry is None else sse.retry / 1000
                        if not opened:
                            opened = True
                            report(what="open", cursor=last)
                        if sse.data:
                            report(what="event", id=sse.id, name=sse.event, data=sse.data)
                report(what="lost", clean=True, why="end of the response")
            except httpx.HTTPError as error:
                report(what="lost", clean=False, why=repr(error))
            time.sleep(pause)  # the pause that the service asked for with `retry:`


follow(sys.argv[1])
