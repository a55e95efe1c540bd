"""``POST /v1/orders``."""

from __future__ import annotations

from domain.order import MAX_ORDERS
from domain.permissions import Action
from domain.schemas import WHOLE, Schema, record, ref
from workers.web.api.api import JSON, NDJSON
from workers.web.api.headers import MAX_WAIT_SECONDS
from workers.web.api.schema.operation import Answer, Header, Operation, header, json_answer
from workers.web.api.schema.parts import ETAG, LOCATION, OF_INVOICE

#: UTF-8 beyond ASCII is taken too; HTTP has no word for that.
KEY: Schema = {"type": "string", "pattern": r'^([!#-~][ -~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$'}
_HEADERS = {
    "Location": LOCATION,
    "ETag": ETAG,
    "Idempotency-Replayed": Header("the order was there already", {"const": "true"}, always=False),
    "Preference-Applied": Header("`wait=N`: how long it would have waited", always=False),
}
_LINE = record(
    {
        "index": WHOLE,
        "status": {"type": "integer"},
        "invoice": ref("Invoice"),
        "problem": ref("Problem"),
    },
    "The answer to the order of the same place: an `invoice`, or a `problem`.",
    optional=("invoice", "problem"),
)
#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = {"OrderAnswer": _LINE}

TAKE_ORDERS = Operation(
    "POST",
    "/v1/orders",
    "takeOrders",
    "Send an order, or many",
    {
        202: json_answer("Taken: nothing loses it from now on.", ref("Invoice"), _HEADERS, OF_INVOICE),
        201: json_answer("Taken, and it can be paid (with `Prefer: wait`).", ref("Invoice"), _HEADERS, OF_INVOICE),
        200: Answer(
            "The same order as before; or it ended while it was waited for; or many: an answer a line.",
            {JSON: ref("Invoice"), NDJSON: ref("OrderAnswer")},
            {name: Header(one.about, one.schema, always=False) for name, one in _HEADERS.items()},
        ),
    },
    action=Action.CREATE,
    about=(
        "Idempotent for ever: the same key with the same content gives the same invoice; with other content it is 422. "
        f"`{NDJSON}`: up to {MAX_ORDERS} orders, one a line, each judged by itself. Prices are read from the bytes."
    ),
    parameters=(
        header("Idempotency-Key", KEY, "stands for `idempotency_key`; with or without quotes"),
        header("Prefer", {"type": "string"}, f"`wait=N`: answer once it can be paid, N ≤ {MAX_WAIT_SECONDS} s"),
        header("traceparent", {"type": "string"}, "W3C Trace Context: passed on in events; a bad one is ignored"),
        header("tracestate", {"type": "string"}, "what goes with it"),
    ),
    body={JSON: ref("Order"), NDJSON: ref("Order")},
    problems=(409, 422),
)
