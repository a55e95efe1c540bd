"""``/v1/drift``."""

from __future__ import annotations

from domain.drift import KINDS, MOST_INVOICES
from domain.permissions import Action
from domain.schemas import TEXT, TIME, WHOLE, Schema, or_null, record, ref
from workers.web.api.schema.invoices import DEFAULT_LIMIT, MAX_LIMIT
from workers.web.api.schema.operation import Operation, json_answer, query
from workers.web.api.schema.parts import ASKED, NEXT_PAGE, limit

DEFAULT_STATE = "open"
STATES = (DEFAULT_STATE, "all")

_DRIFT = record(
    {
        "id": WHOLE,
        "account": TEXT,
        "provider": TEXT,
        "kind": {"type": "string", "enum": list(KINDS)},
        "call": or_null(TEXT) | {"description": "whose answer it was: `create`, `look-up`; or a `callback`"},
        "field": or_null(TEXT) | {"description": "where it stands; of a new word, the list that it belongs to"},
        "value": or_null(TEXT) | {"description": "the word, the type, the number of decimals"},
        "text": TEXT | {"description": "the same in one sentence"},
        "since": TIME,
        "event": TEXT | {"description": "the id of the event that told of it"},
        "accepted_at": or_null(TIME) | {"description": "by an operator; null: open"},
        "invoices": WHOLE | {"description": f"whose answers had it; counted up to {MOST_INVOICES:,}"},
        "last_at": or_null(TIME) | {"description": "when the last of them came"},
    },
    "Something in a provider's answers that neither its documents nor its earlier answers had.",
)
#: By name; what only this operation has.
SCHEMAS: dict[str, Schema] = {
    "Drift": _DRIFT,
    "DriftPage": record(
        {"drift": {"type": "array", "items": ref("Drift")}, "next": or_null(TEXT)},
        "Newest first. `next` is the `cursor` of the following page; null: there is none.",
    ),
}

LIST_DRIFT = Operation(
    "GET",
    "/v1/drift",
    "listDrift",
    "List what is new in providers' answers, newest first",
    {200: json_answer("A page.", ref("DriftPage"), {"Link": NEXT_PAGE})},
    action=Action.READ,
    about="As `invoices drift list --json` prints it, of the accounts that the token sees.",
    parameters=(
        query("account", ASKED, "of this account only"),
        query(
            "state",
            {"type": "string", "enum": list(STATES), "default": DEFAULT_STATE},
            "`open`: nobody has accepted it; `all`: accepted ones too",
        ),
        limit(DEFAULT_LIMIT, MAX_LIMIT),
        query("cursor", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "`next` of the page before"),
    ),
)
