"""Messages that can't be used, each with the reason that it is listed with."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta

from tests.acceptance.intake import QUEUE, order
from workers.transport.message_limits import MAX_ITEM_BYTES

HEADERS = {"lang": "py", "task": "invoices.create", "id": "id-1"}
PLAIN = {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": QUEUE}}
LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

#: (what, how it is pushed, how the listed reason begins)
NONSENSE = {
    "no id": (lambda i: i.push([[], order("x"), {}], headers={"task": "invoices.create"}), "id: is missing"),
    "no task": (lambda i: i.push([[], order("x"), {}]), "task: neither headers"),
    "unknown task": (lambda i: i.push([[], {}, {}], headers=HEADERS | {"task": "a.b"}), "task: there is no task 'a.b'"),
    "internal task": (lambda i: i.push([[], {}, {}], headers=HEADERS | {"task": "invoices.reject"}), "task: there is"),
    "no JSON": (lambda i: i.push("{", headers=HEADERS), "body: is not JSON"),
    "no JSON, no headers": (lambda i: i.push("hello"), "body: is not JSON"),
    "no UTF-8": (lambda i: i.push(b"\xff\x00", headers=HEADERS), "body: is not UTF-8"),
    "an object": (lambda i: i.push({"a": 1}, headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "a number": (lambda i: i.push("17", headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "two items": (lambda i: i.push([[], {}], headers=HEADERS), "body: must be [args, kwargs, embed]"),
    "kwargs a list": (lambda i: i.push([[], [], {}], headers=HEADERS), "kwargs: must be an object"),
    "positional": (lambda i: i.push([[order("x")], {}, {}], headers=HEADERS), "args: send the fields as keyword"),
    "deep": (lambda i: i.push("[" * 50_000, headers=HEADERS), "body: is nested too deeply"),
    "oversized": (lambda i: i.push("x" * (MAX_ITEM_BYTES + 1), headers=HEADERS), "body: the message is "),
    "many values": (lambda i: i.push("[" + "[]," * 20_000 + "1]", headers=HEADERS), "body: holds more than"),
    "large": (lambda i: i.push([[], order("x", metadata={"x": "x" * 70_000}), {}], headers=HEADERS), "body: is 7"),
    "pickle": (lambda i: i.push("x", **{"content-type": "application/x-python-serialize"}), "content-type: must be"),
    "compressed": (
        lambda i: i.push(zlib.compress(b"[]"), headers=HEADERS | {"compression": "application/x-gzip"}),
        "body: compressed bodies are not taken",
    ),
    "far eta": (lambda i: i.push([[], order("x"), {}], headers=HEADERS | {"eta": LATER}), "eta: lies more than 60 s"),
    "bad expires": (lambda i: i.push([[], order("y"), {}], headers=HEADERS | {"expires": "soon"}), "expires: is not a"),
    "unknown field": (lambda i: i.push([[], order("x", colour="red"), {}], headers=HEADERS), "colour: unknown field"),
    "unknown account": (lambda i: i.push([[], order("x", account="y"), {}], headers=HEADERS), "account: there is no"),
    "bad price": (lambda i: i.push([[], order("x", price=True), {}], headers=HEADERS), "price: must be a decimal"),
    "v1 no id": (lambda i: i.push({"task": "invoices.create", "args": [], "kwargs": {}}), "id: is missing"),
    "v1 kwargs": (lambda i: i.push({"task": "invoices.create", "id": "1", "kwargs": 5}), "kwargs: must be an object"),
    "a reply": (lambda i: i.push({"worker@host": {"ok": "pong"}}), "task: neither headers"),
}  # fmt: skip
#: What only Redis has: a list anybody may push anything into.
NONSENSE_ITEMS = {
    "body a number": (lambda i: i.push("", body=17, headers=HEADERS, properties=PLAIN), "body: must be a text"),
    "body an object": (lambda i: i.push("", body={"a": [1]}, properties=PLAIN), "body: must be a text"),
    "an item without envelope": (lambda i: i.broker.redis.lpush(QUEUE, "hello"), "body: the list item is no"),
    "an empty item": (lambda i: i.broker.redis.lpush(QUEUE, ""), "body: the list item is no message"),
    "many headers": (
        lambda i: i.push([[], order("x"), {}], headers=HEADERS | {str(n): n for n in range(5000)}),
        "body: the list item is no message: holds more than",
    ),
    "half an envelope": (lambda i: i.broker.redis.lpush(QUEUE, '{"body": "W10="}'), "body: the list item is"),
}  # fmt: skip
