"""The service under test: started, stopped and killed by its process id, always on real TCP; and an engine that posts to it."""

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading

from deadline import Deadline, Late

# The test reconnects often: pauses and heartbeats are short, and the ring is small, so that a resume also reads the journal.
SETTINGS = {
    "PLIMSOLL_SSE__RETRY_MIN": "100ms",
    "PLIMSOLL_SSE__RETRY_MAX": "200ms",
    "PLIMSOLL_SSE__HEARTBEAT": "1s",
    "PLIMSOLL_TELEMETRY__RING_EVENTS": "100",
}


def free_port():
    """A port that nobody uses, below those that the kernel gives to outgoing connections: a client that keeps trying while
    the service is away could otherwise be given that very port for its own end, and take it, or connect to itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Service:
    """One service over one artifacts folder; it may be started many times."""

    def __init__(self, binary, folder, **settings):
        self.binary, self.folder = binary, folder
        self.settings = SETTINGS | settings
        self.home = self.port = free_port()
        self.starts = 0  # how often it became ready
        self.process = None
        self.changed = threading.Condition()
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "service.log", "ab")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self, port=None):
        """Starts it, at home unless told otherwise, and waits for its ready line."""
        port, before = port or self.home, self.starts
        # Run in its own folder, where there is no configs/dev.yaml: built-in defaults and the settings above.
        self.process = subprocess.Popen(
            [self.binary, "serve", "--listen", f"127.0.0.1:{port}", "--artifacts", str(self.folder / "artifacts")],
            cwd=self.folder, env=os.environ | self.settings, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        threading.Thread(target=self._read_ready, args=(self.process, before), daemon=True).start()
        deadline = Deadline(30)
        with self.changed:
            while self.starts == before and self.process.poll() is None and deadline.wait(self.changed):
                pass
            if self.starts == before:
                raise Late(f"the service is not ready, exit code {self.process.poll()}; see {self.log.name}")

    def _read_ready(self, process, before):
        for line in process.stdout:
            if found := re.search(r" ready on http://127\.0\.0\.1:(\d+)$", line.rstrip()):
                with self.changed:
                    self.port, self.starts = int(found[1]), before + 1
                    self.changed.notify_all()
        process.wait()
        with self.changed:
            self.changed.notify_all()

    def terminate(self):
        """SIGTERM; answers the exit code."""
        return self._signal(signal.SIGTERM)

    def kill(self):
        """kill -9; answers the exit code."""
        return self._signal(signal.SIGKILL)

    def _signal(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=Deadline(20).left())

    def close(self):
        """Leaves nothing behind."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def wait_for_start(self, starts):
        """Until it has been started again, or for a moment: it may be up and have no room (503)."""
        with self.changed:
            if self.starts == starts:
                self.changed.wait(0.2)

    def call(self, method, path, body=None, kind="application/json"):
        """One request on a connection of its own: (status, parsed answer)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=Deadline(20).left())
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def journal(self):
        """Every event the service has, oldest first, by paging."""
        events, cursor = [], ""
        while True:
            status, page = self.call("GET", f"/api/telemetry/events?order=asc&limit=1000{cursor}")
            assert status == 200, (status, page)
            events += page["events"]
            if page["next"] is None:
                return events
            cursor = f"&since_id={page['next']}"


class Engine:
    """Posts events in order from a thread of its own, as fast as they are acknowledged, and posts again (same `event_id`)
    what an outage left without an answer."""

    def __init__(self, service, events):
        self.service = service
        self.events = events  # event_id -> the JSON text to post
        self.names = list(events)
        self.acked = 0
        self.allowed = 0  # how many it may post so far
        self.fault = None
        self.closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def allow(self, count):
        """Lets it post up to the first `count` events."""
        with self.changed:
            self.allowed = min(count, len(self.names))
            self.changed.notify_all()

    def wait(self, count, seconds=30):
        """Waits until the first `count` are acknowledged."""
        deadline = Deadline(seconds)
        with self.changed:
            while self.acked < count and not self.fault and deadline.wait(self.changed):
                pass
            if self.acked < count:
                raise Late(self.fault or f"{self.acked} of {count} events acknowledged")

    def post(self, count):
        """Allows and waits."""
        self.allow(count)
        self.wait(count)

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.thread.join(timeout=10)

    def _run(self):
        turn = 0
        while batch := self._next(turn % 3):
            starts = self.service.starts
            try:
                status, answer = self._post(batch, turn % 3)
            except (OSError, http.client.HTTPException, ValueError):
                status, answer = None, None  # the service went away under it
            if status == 201:
                turn += 1
                with self.changed:
                    self.acked += len(batch)
                    self.changed.notify_all()
            elif status in (None, 503):
                self.service.wait_for_start(starts)
            else:
                with self.changed:
                    self.fault = f"post refused: {status} {answer}"
                    self.changed.notify_all()
                return

    def _next(self, shape):
        """The next events to post, when allowed: one alone, then a few, then many. Nothing when closed."""
        with self.changed:
            while self.acked >= self.allowed and not self.closed:
                self.changed.wait()
            if self.closed:
                return []
            end = min(self.acked + (1, 7, 60)[shape], self.allowed)
            return [self.events[name] for name in self.names[self.acked:end]]

    def _post(self, batch, shape):
        """As an object, an array or NDJSON."""
        if shape == 0:
            return self.service.call("POST", "/api/telemetry/events", batch[0].encode())
        if shape == 1:
            return self.service.call("POST", "/api/telemetry/events", f"[{','.join(batch)}]".encode())
        # NDJSON is one event a line; white space between tokens may hold line ends, which a line may not
        lines = "".join(text.replace("\r", " ").replace("\n", " ") + "\n" for text in batch)
        return self.service.call("POST", "/api/telemetry/events", lines.encode(), "application/x-ndjson")
