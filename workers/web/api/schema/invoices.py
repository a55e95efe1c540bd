"""``GET /v1/invoices`` and one of them."""

from __future__ import annotations

from domain.permissions import Action
from domain.schemas import STATUS, TEXT, TIME, WHOLE, Schema, or_null, record, ref
from workers.web.api.schema.operation import Answer, Operation, header, json_answer, query
from workers.web.api.schema.parts import ASKED, ETAG, INVOICE_ID, NEXT_PAGE, WAIT, an_id, limit

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
MAX_SEQUENCE = 10**15

#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = {
    "Timeline": record({"timeline": {"type": "array", "items": ref("TimelineEntry")}}),
    "TimelineEntry": record(
        {
            "at": TIME,
            "source": TEXT | {"description": "order, create, look-up, callback, operator, event, webhook, …"},
            "what": TEXT,
            "text": TEXT | {"description": "one line"},
            "outcome": or_null(TEXT),
            "ref": or_null(TEXT) | {"description": "how to look closer"},
            "repeats": WHOLE,
            "last_at": or_null(TIME),
            "raw": or_null(TEXT) | {"description": "the source's own words, bounded"},
        },
        "Something that happened.",
    ),
    "InvoicePage": record(
        {"invoices": {"type": "array", "items": ref("Invoice")}, "next": or_null(an_id("inv"))},
        "Newest first. `next` is the `cursor` of the following page; null: there is none.",
    ),
}

LIST_INVOICES = Operation(
    "GET",
    "/v1/invoices",
    "listInvoices",
    "List invoices, newest first",
    {200: json_answer("A page.", ref("InvoicePage"), {"Link": NEXT_PAGE})},
    action=Action.READ,
    parameters=(
        query("account", ASKED, "of this account only"),
        query("order_id", ASKED, "of this order only"),
        query("status", STATUS, "in this status only"),
        query("since", TIME, "taken at this time or later"),
        limit(DEFAULT_LIMIT, MAX_LIMIT),
        query("cursor", an_id("inv"), "`next` of the page before"),
    ),
)

SHOW_INVOICE = Operation(
    "GET",
    "/v1/invoices/{id}",
    "showInvoice",
    "Show an invoice, now or as soon as it changes",
    {
        200: json_answer("The invoice.", ref("Invoice"), {"ETag": ETAG}),
        304: Answer("It is what `If-None-Match` names.", headers={"ETag": ETAG}),
    },
    action=Action.READ,
    parameters=(
        INVOICE_ID,
        query("wait", WAIT, "seconds to wait for a sequence higher than `after`"),
        query("after", {"type": "integer", "minimum": 0, "maximum": MAX_SEQUENCE}, "default: what it is now"),
        header("If-None-Match", TEXT, "the `ETag` of an answer before"),
    ),
    problems=(404,),
)

SHOW_TIMELINE = Operation(
    "GET",
    "/v1/invoices/{id}/timeline",
    "showTimeline",
    "Show what happened to an invoice, oldest first",
    {200: json_answer("One line of time.", ref("Timeline"))},
    action=Action.READ,
    parameters=(INVOICE_ID,),
    problems=(400, 404),
)
