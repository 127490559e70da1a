"""The clients under test: each a program of its own that says on stdout, one JSON object a line, what it sees."""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

from deadline import Deadline, Late

PROGRAMS = pathlib.Path(__file__).parent / "programs"
CLIENTS = ("curl", "browser", "requests", "httpx-sse", "eventsource")
COMMANDS = {
    "curl": [sys.executable, str(PROGRAMS / "curl_loop.py")],
    "requests": [sys.executable, str(PROGRAMS / "requests_loop.py")],
    "httpx-sse": [sys.executable, str(PROGRAMS / "httpx_sse_loop.py")],
    "eventsource": ["node", str(PROGRAMS / "eventsource.mjs")],
}
# They reconnect by themselves; the others are loops as a user writes them.
AUTOMATIC = ("browser", "eventsource")

Seen = collections.namedtuple("Seen", "id name data")
End = collections.namedtuple("End", "clean why")


class Stream:
    """What one client has seen of one stream so far."""

    def __init__(self, client, close):
        self.client, self.close = client, close
        self.changed = threading.Condition()
        self.opens = 0
        self.answers = 0  # responses of which the browser has handed the first bytes to its EventSource
        self.events = []  # Seen
        self.ends = []  # End: how each response ended
        self.losses = []  # readyState at each error of an EventSource; None for the others
        self.fault = None
        self.deadline = Deadline(30)  # for what is awaited now

    def take(self, line):
        """Records one line of the client's report."""
        with self.changed:
            match line["what"]:
                case "open":
                    self.opens += 1
                case "bytes":
                    self.answers += 1
                case "event":
                    self.events.append(Seen(line["id"], line["name"], line["data"]))
                case "lost":
                    self.losses.append(line.get("state"))
                    if "clean" in line:
                        self.ends.append(End(line["clean"], line["why"]))
                case "ended":
                    self.ends.append(End(line["clean"], line["why"]))
                case "failed":
                    self.fault = line["why"]
            self.changed.notify_all()

    def wait(self, happened, what):
        """Waits until `happened(self)`, no longer than the deadline; `what` says in the failure what did not come."""
        with self.changed:
            while not happened(self) and not self.fault and self.deadline.wait(self.changed):
                pass
            if not happened(self):
                raise Late(f"no {what}: {len(self.events)} events, {self.opens} opens, last ends {self.ends[-2:]} {self.fault or ''}")

    def wait_events(self, names):
        """Waits until the events with these `event_id`s have come, in whatever number and order."""
        awaited, read = set(names), 0

        def complete(stream):
            nonlocal read
            for seen in stream.events[read:]:
                awaited.discard(event_id(seen))
            read = len(stream.events)
            return not awaited

        try:
            self.wait(complete, "full set")
        except Late as late:
            raise Late(f"{len(awaited)} events missing, first {min(awaited)}; {late}") from None

    def posted(self):
        """The events that were posted, without heartbeats and the like."""
        with self.changed:
            return [seen for seen in self.events if event_id(seen)]


def event_id(seen):
    """The engine's own id of an event; None for one that no engine posted."""
    return json.loads(seen.data).get("event_id")


class Programs:
    """Starts the clients and ends them all, by the process ids it started."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.browser = None

    def open(self, client, base, query="", names=()):
        """A new stream of the given client; `names` are the event names it listens for besides `message`."""
        path = f"/api/telemetry/stream{query}"
        if client == "browser":
            self.browser = self.browser or Browser(self)
            return self.browser.open(base, path, names)
        listened = list(names) if client == "eventsource" else []
        process = self.spawn(client, [*COMMANDS[client], base + path, *listened])
        stream = Stream(client, lambda: self.end(process))
        self.read(process, lambda _: stream)
        return stream

    def spawn(self, client, command):
        with open(self.folder / f"{client}.stderr", "ab") as log:
            # a session of its own, so that whatever it starts ends with it
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                       start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        self.running.append(process)
        return process

    def read(self, process, stream_of):
        """Gives each line of a program's report to the stream that it belongs to."""

        def run():
            for line in process.stdout:
                report = json.loads(line)
                if stream := stream_of(report):
                    stream.take(report)

        threading.Thread(target=run, daemon=True).start()

    def end(self, process):
        self.running.remove(process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self):
        if self.browser:
            self.browser.close()
        for process in list(self.running):
            self.end(process)


class Browser:
    """One chromium; a stream is a page in it."""

    def __init__(self, programs):
        self.process = programs.spawn("browser", ["node", str(PROGRAMS / "browser.mjs")])
        self.programs = programs
        self.pages = {}
        self.opened = 0
        programs.read(self.process, lambda line: self.pages.get(line.get("page")))

    def open(self, base, path, names):
        self.opened += 1
        label = f"page {self.opened}"
        stream = self.pages[label] = Stream("browser", lambda: self.tell(close=label))
        self.tell(open=label, base=base, path=path, names=list(names))
        return stream

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def close(self):
        """Closing stdin lets it close its browser; `Programs.close` ends what is left."""
        try:
            self.process.stdin.close()
            self.process.wait(timeout=Deadline(10).left())
        except (OSError, subprocess.TimeoutExpired):
            pass
