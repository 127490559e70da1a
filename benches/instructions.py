#!/usr/bin/env python3
"""Instructions that the service runs for one event, and for one delivery: the same on a busy machine as on a quiet one.

    cargo build --release && python3 benches/instructions.py [target/release/plimsoll]

Each case runs under callgrind twice, with a small and a large amount of work; the difference of the two, by the difference of
the work, has no start and no stop in it. Kernel time is not in it either. One connection posts, so that the number of commits
is known: a single post is a commit of its own, which is why that case is also told with 16 posts written at once, that share
commits as they come. Needs valgrind.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile

BINARY = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "plimsoll")
EVENT = (
    b'{"type":"tick","timestamp":"2026-01-05T09:15:00.000000Z","source":"load","payload":'
    b'{"off":1000000000000000,"seq":1000000000,"symbol":"NIFTY","price":19755.05}}'
)
CONFIG = "log:\n  level: warn\nhttp:\n  workers: 1\n  header_timeout: 60s\n"


def post(kind, body):
    head = "POST /api/telemetry/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return (head % (kind, len(body))).encode() + body


def answers(stream, count):
    """Reads so many whole answers."""
    text, seen = b"", 0
    while seen < count:
        piece = stream.recv(65536)
        assert piece, "the service ended the connection"
        text += piece
        while b"\r\n\r\n" in text:
            head, rest = text.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"content-length: (\d+)", head, re.I).group(1))
            if len(rest) < length:
                break
            assert head.startswith(b"HTTP/1.1 201"), head
            text, seen = rest[length:], seen + 1


def singles(connections):
    def work(address, count):
        streams = [socket.create_connection(address) for _ in range(connections)]
        for _ in range(count // connections):
            for stream in streams:
                stream.sendall(post("application/json", EVENT))
            for stream in streams:
                answers(stream, 1)

    return work


def ndjson(address, count):
    stream = socket.create_connection(address)
    stream.sendall(post("application/x-ndjson", (EVENT + b"\n") * count))
    answers(stream, 1)


def deliveries(clients):
    """`count` is of deliveries; each event is a post, and read by all before the next."""

    def work(address, count):
        streams = []
        for _ in range(clients):
            stream = socket.create_connection(address)
            stream.sendall(b"GET /api/telemetry/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            streams.append(stream)
            while b"id: " not in stream.recv(4096):
                pass
        poster = socket.create_connection(address)
        for _ in range(count // clients):
            poster.sendall(post("application/json", EVENT))
            answers(poster, 1)
            waiting = set(streams)
            while waiting:
                for stream in select.select(list(waiting), [], [])[0]:
                    if b'"seq"' in stream.recv(65536):
                        waiting.discard(stream)

    return work


def instructions(work, count):
    """Instructions of the service from its start to its clean end."""
    with tempfile.TemporaryDirectory() as folder:
        config, out = os.path.join(folder, "config.yaml"), os.path.join(folder, "callgrind.out")
        with open(config, "w") as file:
            file.write(CONFIG)
        service = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out, "--log-file=" + os.path.join(folder, "log"), BINARY]
            + ["serve", "--listen", "127.0.0.1:0", "--config", config, "--artifacts", os.path.join(folder, "artifacts")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = int(re.search(rb"http://[\d.]+:(\d+)", service.stdout.readline()).group(1))
            work(("127.0.0.1", port), count)
            service.send_signal(signal.SIGTERM)
            service.wait(120)
        finally:
            service.kill()
        with open(out) as file:
            return int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.M).group(1))


CASES = [
    ("single posts, 1 connection, per event", singles(1), 200, 1200),
    ("single posts, 16 connections, per event", singles(16), 320, 3200),
    ("ndjson, per event", ndjson, 5000, 35000),
    ("one event to 200 clients, per delivery", deliveries(200), 2000, 12000),
]

if __name__ == "__main__":
    for name, work, few, many in CASES:
        each = (instructions(work, many) - instructions(work, few)) / (many - few)
        print(f"{name:42} {each:10,.0f}", flush=True)
