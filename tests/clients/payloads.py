"""What the engine posts: ordinary events of several types, and payloads that break careless framing."""

import json

# Payloads as JSON text, since the exact text matters: it must arrive untouched.
AWKWARD = {
    "plain": '{"symbol":"NIFTY","qty":50}',
    "empty": "{}",
    "scripts": '{"text":"₹ 19,755 · निफ्टी · 日経平均 · سهم · ελληνικά","emoji":"📈👩🏽‍💻🇮🇳"}',
    "raw line separators": '{"text":"a\u2028b\u2029c\u0085d\ufeffe\u200bf\u00a0g\u007fh"}',
    "escaped line separators": r'{"text":"a\u2028b\u2029c\u0085d\ufeffe"}',
    "escaped line ends": r'{"text":"one\ntwo\r\nthree\rfour\n\nfive\u000asix\u000d\u000aseven\n"}',
    "escaped controls": r'{"text":"nul \u0000 tab \t bell \u0007 escape \u001b backspace \b feed \f quote \" slash \/ back \\"}',
    "escaped pairs": r'{"text":"\ud83d\udcc8 \u20b9 \uD83D\uDCC8"}',
    "looks like frames": r'{"text":"\n\nid: 1-1\nevent: message\ndata: {\"type\":\"forged\"}\n\nretry: 1\n\n: comment\n\n"}',
    "field names": '{"data: ":"id: 9-9","event":"x","retry: 5":": heartbeat","":"no name"}',
    "numbers": '{"a":1.10,"b":1E+2,"c":-0.0,"d":12345678901234567890123,"e":0.1e-7,"f":1.0,"g":9007199254740993}',
    "key order": '{"z":1,"a":2,"10":3,"9":4,"__proto__":5,"constructor":6}',
    "depth": '{"a":' * 40 + "1" + "}" * 40,
    "several lines": '{\n  "symbol": "NIFTY",\r\n\t"legs": [\n    1,\n    2\n  ]\n}',
    "long": json.dumps({"text": "ब₹📈 " * 1500}, ensure_ascii=False),
}
# Longer than one chunk of the stream (64 KiB), and more bytes than characters.
LARGE = json.dumps({"text": "₹📈é " * 18_000, "end": True}, ensure_ascii=False)

TYPED = (
    ("order_event", '{"order_id":"PAPER-%d","symbol":"NIFTY","side":"BUY","status":"filled","qty":50,"price":19755.0}'),
    ("signal_event", '{"symbol":"BANKNIFTY","strategy_name":"EMA_20_50","signal":"HOLD","confidence":0.%d}'),
    ("position_event", '{"symbol":"NIFTY24FUT","position_size":%d,"unrealized_pnl":-12.50}'),
    ("cycle_start", '{"cycle":%d}'),
    ("desk.note", '{"text":"number %d — ₹"}'),
)


def event(event_id, kind, payload):
    """One event as the text to post; the payload stays as it is."""
    return f'{{"type":"{kind}","source":"clients","event_id":"{event_id}","payload":{payload}}}'


def ordinary(prefix, count):
    """event_id -> text of `count` events of mixed types."""
    names = [f"{prefix}-{number:05}" for number in range(count)]
    return {name: event(name, kind, payload % number)
            for number, name in enumerate(names) for kind, payload in [TYPED[number % len(TYPED)]]}


def awkward(prefix, large=False):
    """event_id -> text of one event for each awkward payload."""
    payloads = AWKWARD | ({"large": LARGE} if large else {})
    return {f"{prefix}-{name}": event(f"{prefix}-{name}", "desk.note", text) for name, text in payloads.items()}


def exact(text):
    """JSON parsed so that nothing gets lost: order of keys, repeated keys, the text of numbers."""
    return json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=tuple)


class Number(str):
    """A number as it was written; not equal to a string of the same characters."""

    def __eq__(self, other):
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


def difference(posted, received):
    """Why a received event is not the posted one; None when it is."""
    sent, got = exact(posted), exact(received)
    fields = dict(got)
    order = [name for name in ("id", "type", "timestamp", "source", "severity", "profile_id", "event_id", "payload") if name in fields]
    if [name for name, _ in got] != order:
        return f"fields {[name for name, _ in got]}"
    for name, value in sent:
        if fields.get(name) != value:
            return f"{name} is {str(fields.get(name))[:200]}, was {str(value)[:200]}"
    written = posted.partition('"payload":')[2]
    if "\n" not in written and not received.endswith(f'"payload":{written}'):
        return f"the payload's text changed: {received[:300]}"
    return None
