"""The scenarios. Each starts a service of its own, lets the clients follow it, and declares what it checks for whom."""

import collections
import json

from deadline import Deadline
from payloads import awkward, difference, event, ordinary
from proxy import Proxy
from service import Engine, free_port
from streams import AUTOMATIC, CLIENTS, event_id

SERVICE = ("service",)


class Run:
    """One scenario under way: its service, engine, proxies and streams, and the verdicts on them."""

    def __init__(self, table, programs, new_service):
        self.table, self.programs, self.new_service = table, programs, new_service
        self.closing = [programs]
        self.streams = []

    def service(self, **settings):
        return self._keep(self.new_service(**settings))

    def engine(self, service, events):
        return self._keep(Engine(service, events))

    def proxy(self, service, **options):
        return self._keep(Proxy(service, **options))

    def _keep(self, thing):
        self.closing.append(thing)
        return thing

    def open(self, client, base, query="", names=()):
        stream = self.programs.open(client, base, query, names)
        self.streams.append(stream)
        return stream

    def each(self, check, act, streams=None, step=False):
        """Checks each stream; one that failed is out for the rest of its scenario, so that the others get on.

        step: only a step towards the check, which counts when it fails.
        """
        deadline = Deadline(30)  # for all of them: they are under way at the same time
        for stream in list(self.streams if streams is None else streams):
            if stream in self.streams:
                stream.deadline = deadline
                try:
                    act(stream)
                except Exception as error:
                    self.table.record(check, stream.client, str(error) or repr(error))
                    self.streams.remove(stream)
                else:
                    if not step:
                        self.table.record(check, stream.client)

    def check(self, check, fault):
        """A check of the service itself; `fault` is None when all is well."""
        self.table.record(check, "service", fault)

    def close(self):
        for thing in reversed(self.closing):
            thing.close()


def opened(stream):
    """Connected, and the browser has the head with its cursor too, not only the status line."""
    stream.wait(lambda s: s.opens and (s.client != "browser" or s.answers), "open stream")


def away(service, engine, count):
    """Comes up at another address, so that what is posted now is surely missed by every client; and goes again."""
    service.start(free_port())
    engine.post(count)
    service.terminate()
    service.start()


def outages(run):
    """Live, SIGTERM, back, kill -9, back, while an engine posts without a break."""
    service = run.service()
    service.start()
    events = ordinary("warm", 8) | awkward("odd", large=True) | ordinary("run", 4500)
    names = list(events)
    engine = run.engine(service, events)
    engine.post(8)
    first = 8 - 3  # `replay=3`: the last three that were there before, then all that come
    for client in CLIENTS:
        run.open(client, service.url, "?replay=3")
    run.each("connects", opened)
    engine.post(400)
    run.each("receives live", lambda s: s.wait_events(names[first:400]))

    ends = outage(run, engine, 400, service.terminate)
    run.check("SIGTERM ends the service with exit code 0", None if service.process.returncode == 0 else f"exit code {service.process.returncode}")
    run.each("sees a clean end at SIGTERM", lambda s: ended(s, ends[s], clean=True))
    run.each("goes on trying while the service is away", tries, [s for s in run.streams if s.client in AUTOMATIC])
    away(service, engine, 1500)
    engine.post(1800)
    run.each("resumes after SIGTERM", lambda s: s.wait_events(names[first:1800]))

    ends = outage(run, engine, 1800, service.kill)
    run.each("sees the loss at kill -9", lambda s: ended(s, ends[s], clean=False))
    away(service, engine, 3000)
    engine.post(len(names))
    run.each("resumes after kill -9", lambda s: s.wait_events(names[first:]))

    stored = [(found["event_id"], found["id"]) for found in service.journal() if "event_id" in found]
    run.check("the journal has each posted event once, in order", unequal(names, [name for name, _ in stored]))
    journal = dict(stored)
    ids = [journal.get(name, name) for name in names[first:]]
    run.each("over the whole run each id once, in order", lambda s: same_ids(s, ids))
    run.each("every event arrives as it was posted", lambda s: identical(s, events))
    run.each("by default nothing but messages, no heartbeats", only_messages)
    run.each("never closed for good", never_closed, [s for s in run.streams if s.client in AUTOMATIC])


outages.checks = [
    ("connects", CLIENTS), ("receives live", CLIENTS),
    ("SIGTERM ends the service with exit code 0", SERVICE),
    ("sees a clean end at SIGTERM", CLIENTS),
    ("goes on trying while the service is away", AUTOMATIC),
    ("resumes after SIGTERM", CLIENTS),
    ("sees the loss at kill -9", CLIENTS), ("resumes after kill -9", CLIENTS),
    ("the journal has each posted event once, in order", SERVICE),
    ("over the whole run each id once, in order", CLIENTS),
    ("every event arrives as it was posted", CLIENTS),
    ("by default nothing but messages, no heartbeats", CLIENTS),
    ("never closed for good", AUTOMATIC),
]


def outage(run, engine, posted, stop):
    """Ends the service in the middle of posting; answers how many ends each stream had seen before."""
    ends = {stream: len(stream.ends) for stream in run.streams}
    engine.allow(posted + 1000)
    engine.wait(posted + 100)
    stop()
    return ends


def ended(stream, before, clean):
    stream.wait(lambda s: len(s.ends) > before, "end of the response")
    end = stream.ends[before]
    assert end.clean == clean, f"expected a {'clean end' if clean else 'loss'}, got: {end.why}"


def tries(stream):
    failed = len(stream.losses)
    stream.wait(lambda s: len(s.losses) >= failed + 3, "three more attempts")
    never_closed(stream)


def never_closed(stream):
    assert stream.losses and set(stream.losses) == {0}, f"readyState at its errors: {sorted(set(stream.losses))}"


def same_ids(stream, ids):
    got = [seen.id for seen in stream.posted()]
    fault = unequal(ids, got)
    assert fault is None, fault
    inner = [json.loads(seen.data)["id"] for seen in stream.posted()]
    assert inner == got, "the block's id is not the event's id"


def unequal(expected, got):
    """How a list differs from what it should be; None when it does not."""
    if expected == got:
        return None
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    doubled = [name for name, count in collections.Counter(got).items() if count > 1]
    return (f"{len(got)} of {len(expected)}; missing {len(missing)} {missing[:3]}, not expected {len(extra)} {extra[:3]}, "
            f"twice {len(doubled)} {doubled[:3]}{'' if missing or extra or doubled else ', out of order'}")


def identical(stream, events):
    for seen in stream.posted():
        fault = difference(events[event_id(seen)], seen.data)
        assert fault is None, f"{event_id(seen)}: {fault}"


def only_messages(stream):
    other = [seen for seen in stream.events if seen.name != "message" or json.loads(seen.data)["type"] == "heartbeat"]
    assert not other, f"{len(other)} others, first {other[0]}"


def pieces(run):
    """The stream cut into tiny pieces, inside lines and inside characters (through a proxy that does the cutting)."""
    service = run.service()
    service.start()
    events = awkward("cut") | ordinary("cut", 50)
    engine = run.engine(service, events)
    for client in CLIENTS:
        run.open(client, run.proxy(service, pieces=(1, 2, 3, 5, 7, 11, 1, 13)).url)
    run.each("receives what comes in pieces of 1 to 13 bytes", opened, step=True)
    engine.post(len(events))
    run.each("receives what comes in pieces of 1 to 13 bytes", lambda s: s.wait_events(events))
    run.each("what comes in pieces is as it was posted", lambda s: identical(s, events))


pieces.checks = [("receives what comes in pieces of 1 to 13 bytes", CLIENTS), ("what comes in pieces is as it was posted", CLIENTS)]


def cuts(run):
    """The connection lost after 1, 38, 75, ... bytes: in every part of the head and of a block (by the proxy)."""
    service = run.service()
    service.start()
    before, events = ordinary("before", 5), ordinary("after", 60)
    engine = run.engine(service, before | events)
    engine.post(5)
    cursor = service.journal()[-1]["id"]
    engine.post(65)
    ids = [found["id"] for found in service.journal()][5:]
    for client in CLIENTS:
        # a cursor in the address, as a page would be given one: the header of the reconnect must win over it
        run.open(client, run.proxy(service, budgets=range(1, 1200, 37)).url, f"?since_id={cursor}")
    run.each("resumes wherever the connection breaks", lambda s: s.wait_events(events))
    run.each("with broken connections each id once, in order", lambda s: broken(s, ids))


cuts.checks = [("resumes wherever the connection breaks", CLIENTS), ("with broken connections each id once, in order", CLIENTS)]


def broken(stream, ids):
    assert len(stream.losses) >= 15, f"only {len(stream.losses)} connections were lost"
    same_ids(stream, ids)


def quiet(run):
    """kill -9 before the first event and the first heartbeat: the cursor in the head is all there is to resume from."""
    service = run.service(PLIMSOLL_SSE__HEARTBEAT="10m")
    lost_early(run, service, KEEPS_CURSOR, "", ("connects to a quiet stream", opened), FROM_HEAD)


def beating(run):
    """The same with `heartbeat=event`, after two heartbeats: their ids are there to resume from."""
    lost_early(run, run.service(), CLIENTS, "?heartbeat=event", (HEARTBEATS, heartbeats), FROM_HEARTBEAT)


# The npm package forgets the id of a block without data (its parser does): see the README.
KEEPS_CURSOR = tuple(client for client in CLIENTS if client != "eventsource")
HEARTBEATS = "heartbeat=event brings heartbeats as data"
FROM_HEAD = "lost before the first event, resumes from the head"
FROM_HEARTBEAT = "lost before the first event, resumes from a heartbeat"
quiet.checks = [("connects to a quiet stream", KEEPS_CURSOR), (FROM_HEAD, KEEPS_CURSOR)]
beating.checks = [(HEARTBEATS, CLIENTS), (FROM_HEARTBEAT, CLIENTS)]


def lost_early(run, service, clients, query, ready, check):
    service.start()
    events = ordinary("new", 20)
    engine = run.engine(service, ordinary("old", 3) | events)
    engine.post(3)
    for client in clients:
        run.open(client, service.url, query)
    run.each(*ready)
    service.kill()
    away(service, engine, 15)
    engine.post(23)
    ids = [found["id"] for found in service.journal()][3:]

    def resumed(stream):
        stream.wait_events(events)
        same_ids(stream, ids)

    run.each(check, resumed)


def heartbeats(stream):
    stream.wait(lambda s: len(s.events) >= 2, "two heartbeats")
    for seen in stream.events:
        body = json.loads(seen.data)
        assert body["type"] == "heartbeat", f"not a heartbeat: {seen.data}"
        assert seen.id, "a heartbeat without an id"


def named(run):
    """`named=true`: each event under its own name."""
    service = run.service()
    service.start()
    events = ordinary("named", 20)
    # the names that an EventSource uses itself
    events |= {f"named-{kind}": event(f"named-{kind}", kind, '{"detail":"x"}') for kind in ("error", "message")}
    kinds = {name: json.loads(text)["type"] for name, text in events.items()}
    engine = run.engine(service, events)
    listened = sorted(set(kinds.values()) - {"message"})
    for client in CLIENTS:
        run.open(client, service.url, "?named=true", listened)
    run.each("named=true delivers each event under its type", opened, step=True)
    engine.post(len(events))

    def under_their_names(stream):
        stream.wait_events(events)
        wrong = [(seen.name, kinds[event_id(seen)]) for seen in stream.posted() if seen.name != kinds[event_id(seen)]]
        assert not wrong, f"name and type differ: {wrong[:3]}"
        assert len(stream.posted()) == len(events), f"{len(stream.posted())} events, posted {len(events)}"

    run.each("named=true delivers each event under its type", under_their_names)


named.checks = [("named=true delivers each event under its type", CLIENTS)]


def full_house(run):
    """No room for more clients: those that wait are told to come again, and get in when there is room."""
    service = run.service(PLIMSOLL_SSE__MAX_CLIENTS=str(len(CLIENTS)))
    service.start()
    events = ordinary("room", 20)
    engine = run.engine(service, events)
    holders = [run.programs.open("curl", service.url) for _ in CLIENTS]
    for stream in holders:
        opened(stream)
    for client in CLIENTS:
        run.open(client, service.url, "?heartbeat=event")  # a heartbeat says that it is in

    def refused(stream):
        stream.wait(lambda s: len(s.ends) >= 2, "second refusal")
        assert all(end.clean for end in stream.ends), f"not a clean end: {stream.ends}"
        if stream.client in AUTOMATIC:
            never_closed(stream)

    run.each("when full, is told to come again and does", refused)
    for stream in holders:
        stream.close()

    def let_in(stream):
        stream.wait(lambda s: s.events, "heartbeat")

    run.each("gets in when there is room", let_in)
    engine.post(len(events))
    run.each("then receives", lambda s: s.wait_events(events))


full_house.checks = [("when full, is told to come again and does", CLIENTS), ("gets in when there is room", CLIENTS), ("then receives", CLIENTS)]


def leaving(run):
    """A client that goes away (its program or page is ended) does not stay in the books."""
    service = run.service()
    service.start()
    for client in CLIENTS:
        stream = run.open(client, service.url)

        def gone(stream):
            opened(stream)
            assert subscribers(service) == 1, f"{subscribers(service)} subscribers while it is connected"
            stream.close()
            deadline = Deadline(2)
            while subscribers(service):
                assert not deadline.passed(), "still counted as a subscriber after 2 s"

        run.each("is gone within 2 s of leaving", gone, [stream])


leaving.checks = [("is gone within 2 s of leaving", CLIENTS)]


def subscribers(service):
    return service.call("GET", "/api/telemetry/stats")[1]["subscribers"]


ALL = (outages, pieces, cuts, quiet, beating, named, full_house, leaving)
