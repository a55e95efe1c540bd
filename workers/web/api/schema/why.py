"""``GET /v1/invoices/{id}/why``."""

from __future__ import annotations

from domain.permissions import Action
from domain.schemas import TEXT, TIME, Schema, or_null, record, ref
from domain.why import Cause
from workers.web.api.schema.operation import Operation, json_answer
from workers.web.api.schema.parts import INVOICE_ID

#: By name; what only this operation has.
SCHEMAS: dict[str, Schema] = {
    "Why": record(
        {
            "cause": {"type": "string", "enum": [str(cause) for cause in Cause]},
            "text": TEXT | {"description": "one sentence"},
            "since": or_null(TIME),
            "next_at": or_null(TIME),
            "next": or_null(TEXT) | {"description": "what happens then by itself; null: nothing"},
            "command": or_null(TEXT) | {"description": "of the `invoices` command line, the one that helps"},
        },
        "Why nothing happens: the first cause that holds, in the order in which they are listed.",
    ),
}

SHOW_WHY = Operation(
    "GET",
    "/v1/invoices/{id}/why",
    "showWhy",
    "Say why nothing happens to an invoice",
    {200: json_answer("The cause.", ref("Why"))},
    action=Action.READ,
    parameters=(INVOICE_ID,),
    problems=(400, 404),
)
