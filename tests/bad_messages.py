"""Messages that no shop should send, as the items of the broker's list, each with how the reason it gets begins.

One kind a line, about every layer that reads a message: the list item, kombu's envelope, its headers, the body of both
protocols, the order itself. ``bad_message(n)`` makes the n-th; no two are the same.
"""

from __future__ import annotations

import base64
import bz2
import functools
import json
import lzma
import pickle
import zlib
from collections.abc import Callable, Mapping
from typing import Any

QUEUE = "invoices.intake"
LATER = "2199-01-01T00:00:00+00:00"


@functools.cache
def bombs() -> Mapping[str, bytes]:
    """64 MiB of zeros, and what they come to; made when first needed, since it takes a second."""
    return {
        "application/x-gzip": zlib.compress(bytes(64 * 1024 * 1024), 9),
        "application/x-bz2": bz2.compress(bytes(64 * 1024 * 1024)),
        "application/x-lzma": lzma.compress(bytes(4 * 1024 * 1024)),
    }


class _Dangerous:
    """Ends whoever unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os._exit, (66,)


PICKLE = pickle.dumps(_Dangerous())
YAML = b"!!python/object/apply:os._exit [66]"


def order(name: str, **fields: Any) -> dict[str, Any]:
    """A good one."""
    given = {"account": "nebulox", "order_id": name, "price": "9.90", "currency": "EUR", "pay_currency": "BTC"}
    return given | fields


def envelope(body: Any, *, headers: Any = None, name: str = "", **changes: Any) -> bytes:
    """A list item as kombu writes it; ``body`` bytes go out in base64, anything else as it is."""
    given = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    properties = {
        "body_encoding": "base64",
        "correlation_id": name,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "delivery_mode": 2,
        "delivery_tag": f"tag-{name}",
        "priority": 0,
    }
    parts = {
        "body": given,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {} if headers is None else headers,
        "properties": properties,
    }
    return json.dumps(parts | changes).encode()


def call(name: str, kwargs: Any = None, *, args: Any = (), task: Any = "invoices.create", **headers: Any) -> bytes:
    """A whole message of protocol 2; ``kwargs`` may be JSON text, a header ``...`` is left out."""
    fields = kwargs if isinstance(kwargs, str) else json.dumps(order(name) if kwargs is None else kwargs)
    given = {"lang": "py", "task": task, "id": name} | headers
    given = {key: value for key, value in given.items() if value is not ...}
    return envelope(f"[{json.dumps(args)}, {fields}, {{}}]".encode(), headers=given, name=name)


def call_1(name: str, **changes: Any) -> bytes:
    """A whole message of protocol 1."""
    given = {"task": "invoices.create", "id": name, "args": [], "kwargs": order(name)} | changes
    return envelope(json.dumps({k: v for k, v in given.items() if v is not ...}).encode(), name=name)


def body(name: str, text: str | bytes, **changes: Any) -> bytes:
    """A message of protocol 2 with just this body."""
    given = text.encode() if isinstance(text, str) else text
    return envelope(given, headers={"task": "invoices.create", "id": name}, name=name, **changes)


def pack(name: str, kind: str) -> bytes:
    """A body that unpacks to a thousand times its size."""
    return envelope(bombs()[kind], headers={"task": "invoices.create", "id": name, "compression": kind}, name=name)


def with_properties(name: str, **properties: Any) -> bytes:
    """An order without an id (so it is bad) among odd properties."""
    found = json.loads(call(name, id=...))
    found["properties"] |= properties
    return json.dumps(found).encode()


def huge(name: str, **fields: Any) -> str:
    """An order's JSON text with a number written into it as it stands."""
    text = json.dumps(order(name, **dict.fromkeys(fields, "HERE")))
    return text.replace('"HERE"', str(next(iter(fields.values()))))


DECIMAL = {"__type__": "decimal", "__value__": "1e99999999"}  #: as kombu's JSON writes a Decimal

NO_ITEM = "body: the list item is no message"
NO_JSON = "body: is not JSON"
NO_ID = "id: is missing"
NO_UTF8 = "body: is not UTF-8"
ENCODING = "content-encoding: must be utf-8"
NO_TASK = "task: neither headers (protocol 2) nor body (protocol 1) name a task"
TYPE = "content-type: must be application/json"
NO_PACKING = "body: compressed bodies are not taken"
SHAPE = "body: must be [args, kwargs, embed]"
HALF = "body: holds half of a surrogate pair"
DEEP = "body: is nested"
PRICE = "price: "

#: What each is made of, and how its reason begins.
KINDS: Mapping[str, tuple[Callable[[str], bytes], str]] = {
    # the list item
    "text": (lambda n: f"hello {n}".encode(), NO_ITEM),
    "bytes": (lambda n: b"\x80\xff\x00" + n.encode(), NO_ITEM),
    "a JSON text": (lambda n: json.dumps(n).encode(), NO_ITEM),
    "a list": (lambda n: json.dumps([n]).encode(), NO_ITEM),
    "half an item": (lambda n: call(n)[:-20], NO_ITEM),
    "an item nested deeply": (lambda n: b"[" * 50_000 + n.encode(), NO_ITEM),
    "a pickle as item": (lambda n: PICKLE + n.encode(), NO_ITEM),
    "a number without end": (lambda n: f'{{"properties": {{}}, "x": {"9" * 5000}, "n": "{n}"}}'.encode(), NO_ITEM),
    "a type nobody knows": (lambda n: envelope("", name=n, x={"__type__": "os", "__value__": n}), NO_ITEM),
    "a date that is none": (lambda n: envelope("", name=n, x={"__type__": "datetime", "__value__": n}), NO_ITEM),
    # the envelope
    "no properties": (lambda n: envelope(b"[]", name=n, properties=None, x=n), NO_ITEM),
    "properties a list": (lambda n: envelope(b"[]", name=n, properties=[n]), NO_ITEM),
    "headers a list": (lambda n: envelope(b"[]", headers=["task"], name=n), NO_ITEM),
    "headers a text": (lambda n: envelope(b"[]", headers="task", name=n), NO_ITEM),
    "body no base64": (lambda n: envelope("a", headers={"task": "x"}, name=n), NO_ITEM),
    "body a number": (lambda n: envelope(17, name=n, properties={"delivery_tag": n}), "body: must be a text"),
    "body an object": (lambda n: envelope({"a": n}, name=n, properties={"delivery_tag": n}), "body: must be a text"),
    "no body": (lambda n: envelope(None, headers={"task": "invoices.create", "id": n}, name=n), "body: must be a text"),
    "empty body": (lambda n: body(n, ""), NO_JSON),
    "priority without end": (lambda n: with_properties(n, priority=float("inf")), NO_ID),
    "priority a decimal": (lambda n: with_properties(n, priority=DECIMAL), NO_ID),
    "priority a text": (lambda n: with_properties(n, priority="high"), NO_ID),
    "delivery info a text": (lambda n: with_properties(n, delivery_info="x"), NO_ID),
    "delivery tag a list": (lambda n: with_properties(n, delivery_tag=[n]), NO_ID),
    "reply to nobody": (lambda n: with_properties(n, reply_to={"a": [n]}), NO_ID),
    # the body's kind
    "pickle": (lambda n: body(n, PICKLE + n.encode(), **{"content-type": "application/x-python-serialize"}), TYPE),
    "yaml": (lambda n: body(n, YAML + n.encode(), **{"content-type": "application/x-yaml"}), TYPE),
    "pickle said to be JSON": (lambda n: body(n, PICKLE + n.encode()), NO_UTF8),
    "msgpack": (lambda n: body(n, b"\x93", **{"content-type": "application/x-msgpack"}), TYPE),
    "content-type a list": (lambda n: body(n, "[]", **{"content-type": [n]}), TYPE),
    "utf-16": (lambda n: body(n, "[]".encode("utf-16"), **{"content-encoding": "utf-16"}), ENCODING),
    "latin-1": (lambda n: body(n, f'[[], {{"order_id": "é{n}"}}, {{}}]'.encode("latin-1")), NO_UTF8),
    "gzip": (lambda n: pack(n, "application/x-gzip"), NO_PACKING),
    "bz2": (lambda n: pack(n, "application/x-bz2"), NO_PACKING),
    "lzma": (lambda n: pack(n, "application/x-lzma"), NO_PACKING),
    "a packing nobody knows": (lambda n: call(n, compression=n), NO_PACKING),
    # the body's JSON
    "no JSON": (lambda n: body(n, "{"), NO_JSON),
    "NaN": (lambda n: call(n, huge(n, price="NaN")), NO_JSON),
    "Infinity": (lambda n: call(n, huge(n, price="-Infinity")), NO_JSON),
    "a JSON number without end": (lambda n: call(n, huge(n, price="9" * 5000)), NO_JSON),
    "two documents": (lambda n: body(n, "[[], {}, {}] [[], {}, {}]"), NO_JSON),
    "nested to the end": (lambda n: body(n, "[" * 60_000), DEEP),
    "nested": (lambda n: call(n, '{"a":' * 40 + "1" + "}" * 40), DEEP),
    "large": (lambda n: call(n, order(n, metadata={"x": "x" * 66_000})), "body: is 66"),
    "half a surrogate pair": (lambda n: call(n, order(n, network="\ud800")), HALF),
    "half a pair as a name": (lambda n: call(n, order(n) | {"\udfff": 1}), HALF),
    # what is called
    "a text": (lambda n: body(n, json.dumps(n)), SHAPE),
    "an object": (lambda n: body(n, json.dumps({"a": n})), SHAPE),
    "two items": (lambda n: body(n, "[[], {}]"), SHAPE),
    "kwargs a list": (lambda n: call(n, []), "kwargs: must be an object"),
    "args an object": (lambda n: call(n, args={"a": 1}), "args: must be a list"),
    "embed a list": (lambda n: body(n, "[[], {}, []]"), "body: embed"),
    "by position": (lambda n: call(n, {}, args=[order(n)]), "args: send the fields as keyword arguments"),
    "both": (lambda n: call(n, args=["x"]), "args: send the fields as keyword arguments"),
    "no task": (lambda n: call(n, task=...), NO_TASK),
    "task null": (lambda n: call(n, task=None), "task: must be the task's name"),
    "task a list": (lambda n: call(n, task=["invoices.create"]), "task: must be the task's name"),
    "another task": (lambda n: call(n, task="shop.ship"), "task: there is no task 'shop.ship'"),
    "our own task": (lambda n: call(n, task="invoices.reject"), "task: there is no task 'invoices.reject'"),
    "Celery's own task": (lambda n: call(n, task="celery.chord_unlock"), "task: there is no task"),
    "a task with a NUL": (lambda n: call(n, task="\0"), "task: there is no task"),
    "no id": (lambda n: call(n, id=...), NO_ID),
    "eta far": (lambda n: call(n, eta=LATER), "eta: lies more than 60 s ahead"),
    "eta nowhere": (lambda n: call(n, eta={"a": 1}), "eta: must be an ISO 8601 time"),
    "expires nowhere": (lambda n: call(n, expires=1e300), "expires: is not a time"),
    "a bell of no stage": (lambda n: call(n, {}, task="invoices.run", args=["dance", "x"]), "args: invoices.run takes"),
    "a bell with fields": (lambda n: call(n, task="invoices.sweep"), "args: invoices.sweep takes"),
    # protocol 1
    "1: no task": (lambda n: call_1(n, task=...), NO_TASK),
    "1: no id": (lambda n: call_1(n, id=...), NO_ID),
    "1: kwargs a text": (lambda n: call_1(n, kwargs=n), "kwargs: must be an object"),
    "1: args a text": (lambda n: call_1(n, args=n), "args: must be a list"),
    "1: by position": (lambda n: call_1(n, args=[order(n)]), "args: send the fields as keyword arguments"),
    "1: eta": (lambda n: call_1(n, eta="tomorrow"), "eta: is not a time"),
    "1: large": (lambda n: call_1(n, x="x" * 66_000), "body: is 66"),
    # the order
    "no account": (lambda n: call(n, {"order_id": n}), "account: is required"),
    "account nobody has": (lambda n: call(n, order(n, account="nobody")), "account: there is no account 'nobody'"),
    "account a list": (lambda n: call(n, order(n, account=["nebulox"])), "account: must be a string"),
    "order_id a number": (lambda n: call(n, order(n, order_id=5)), "order_id: must be a string"),
    "order_id with a NUL": (lambda n: call(n, order(f"{n}\0")), "order_id: must not contain control characters"),
    "order_id long": (lambda n: call(n, order(n + "x" * 200)), "order_id: must be at most 128 characters"),
    "price true": (lambda n: call(n, order(n, price=True)), PRICE),
    "price negative": (lambda n: call(n, order(n, price="-1")), PRICE),
    "price nothing": (lambda n: call(n, order(n, price="0e-20")), PRICE),
    "price NaN": (lambda n: call(n, order(n, price="sNaN")), PRICE),
    "price without end": (lambda n: call(n, order(n, price="1e999999999")), PRICE),
    "price a number without end": (lambda n: call(n, huge(n, price="1e999999999")), PRICE),
    "price a fraction without end": (lambda n: call(n, huge(n, price="1e-999999999")), PRICE),
    "price in other digits": (lambda n: call(n, order(n, price="٩")), PRICE),
    "price tagged": (lambda n: call(n, order(n, price={"__type__": "decimal", "__value__": "1e99999999"})), PRICE),
    "lifetime negative": (lambda n: call(n, order(n, lifetime_minutes=-1)), "lifetime_minutes: must be"),
    "create_before a number": (lambda n: call(n, order(n, create_before=5)), "create_before: must be an RFC 3339 time"),
    "metadata a list": (lambda n: call(n, order(n, metadata=[])), "metadata: must be an object"),
    "metadata large": (lambda n: call(n, order(n, metadata={"x": "x" * 5000})), "metadata: must be at most 4096 bytes"),
    "params nobody takes": (lambda n: call(n, order(n, params={"x": 1})), "params.x: unknown field"),
    "a field nobody knows": (lambda n: call(n, order(n, colour="red")), "colour: unknown field"),
    "a currency nobody takes": (lambda n: call(n, order(n, currency="XXX")), "currency: must be one of"),
    "a list of nothing": (lambda n: call(n, {"orders": []}, task="invoices.create_many"), "orders: must be"),
    "no list": (lambda n: call(n, task="invoices.create_many"), "orders: invoices.create_many takes exactly one"),
    "a cancellation of nothing": (lambda n: call(n, {"account": "nebulox"}, task="invoices.cancel"), "order_id: give"),
}  # fmt: skip

_NAMES = tuple(KINDS)


def bad_message(number: int) -> tuple[str, bytes, str]:
    """(kind, list item, how its reason begins): the kinds take turns."""
    kind = _NAMES[number % len(_NAMES)]
    make, reason = KINDS[kind]
    return kind, make(f"bad-{number}"), reason


def good_message(name: str) -> bytes:
    """An order as a shop sends it: the protocols take turns, by the last figure of the name."""
    return call_1(name) if name[-1:] in {"3", "7"} else call(name)


def as_published(item: bytes) -> dict[str, Any] | None:
    """What an AMQP client passes to `publish` to send the message of a list item; None: only a list takes it."""
    try:
        found = json.loads(item)
        sent = {"body": base64.b64decode(found["body"], validate=True), "headers": dict(found["headers"])}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = found.keys() == json.loads(envelope("")).keys() and isinstance(found["properties"], dict)
    if not whole or not isinstance(found["content-type"], str):
        return None
    told = {"correlation_id": found["properties"].get("correlation_id", "")}
    return sent | told | {"content_type": found["content-type"], "content_encoding": found["content-encoding"]}
