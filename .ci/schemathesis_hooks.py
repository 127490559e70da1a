"""What schemathesis does not know by itself, and what a document cannot say."""
import copy
import datetime
import json
import re
import zlib

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """The document describes a line; the body is that line."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.hook
def filter_case(ctx, case):
    """Leaves out what no schema can tell from good requests: a span that ends before it begins, a time that is yet to
    come, and names that are taken."""
    query = case.query if isinstance(case.query, dict) else {}
    since, until = instant(query.get("since_ts")), instant(query.get("until_ts"))
    if since and until and since >= until:
        return False
    items = case.body if isinstance(case.body, list) else [case.body]
    return not any(isinstance(item, dict) and (is_taken(item) or is_ahead(item)) for item in items)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A metric keeps the kind and the buckets of its first post, so those of others get a name of their own."""
    if case.operation.path != "/api/metrics" or not isinstance(case.body, dict):
        return
    case.body = copy.deepcopy(case.body)
    items = case.body.get("metrics", [case.body])
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and is_short(item.get("name")):
            item["name"] += f"_{zlib.crc32(repr((item.get('kind'), item.get('buckets'))).encode())}"


def is_short(name):
    """Whether a metric's name stays as good or bad as it is when it gets longer."""
    return isinstance(name, str) and re.fullmatch("[A-Za-z_][A-Za-z0-9_]{8,99}|[A-Za-z]", name, re.ASCII) is not None


def is_taken(item):
    """Whether an event or an order names somebody whose name is the service's own."""
    return any(item.get(key) in ("plimsoll", "file", "config", "risk_evaluator") for key in ("source", "actor"))


def is_ahead(item):
    """Whether a benchmark is of more than a day after now."""
    at = instant(item.get("ts"))
    return at is not None and at > datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)


def instant(text):
    try:
        at = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else None
