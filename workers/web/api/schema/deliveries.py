"""``/v1/deliveries`` and ``/v1/replays``."""

from __future__ import annotations

from domain.permissions import Action
from domain.requests import ReplayRequest
from domain.schemas import TEXT, TIME, WHOLE, Schema, model_schemas, or_null, record, ref
from workers.web.api.api import JSON
from workers.web.api.schema.invoices import DEFAULT_LIMIT, MAX_LIMIT
from workers.web.api.schema.operation import Link, Operation, json_answer, query
from workers.web.api.schema.parts import ASKED, LOCATION, NEXT_PAGE, an_id, in_path, limit

STATES = ("due", "parked", "delivered", "dead")

_ATTEMPT = record(
    {
        "at": TIME,
        "outcome": TEXT,
        "status": or_null(WHOLE),
        "latency_ms": WHOLE,
        "answer": or_null(TEXT),
        "error": or_null(TEXT),
        "next_try_at": or_null(TIME),
    }
)
_DELIVERY = record(
    {
        "id": WHOLE,
        "endpoint_id": an_id("ep"),
        "invoice_id": or_null(TEXT),
        "event_id": TEXT,
        "type": TEXT,
        "sequence": or_null(WHOLE),
        "state": {"type": "string", "enum": list(STATES)},
        "tries": WHOLE,
        "next_try_at": or_null(TIME),
        "created_at": TIME,
        "finished_at": or_null(TIME),
        "attempts": {"type": "array", "items": _ATTEMPT},
    },
    "An event on its way to an endpoint, with each try. parked: its endpoint is disabled.",
)
_REPLAY = record(
    {
        "id": an_id("rpl"),
        "endpoint": TEXT,
        "event": or_null(TEXT),
        "state": {"type": "string", "enum": ["running", "done", "failed"]},
        "events": WHOLE | {"description": "to be sent, when it was asked for"},
        "sent": WHOLE,
        "why": or_null(TEXT) | {"description": "it failed"},
        "created_at": TIME,
        "finished_at": or_null(TIME),
    },
    "Events that are sent once more, as a job.",
)
#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = model_schemas(ReplayRequest) | {
    "Delivery": _DELIVERY,
    "DeliveryPage": record(
        {"deliveries": {"type": "array", "items": ref("Delivery")}, "next": or_null(TEXT)},
        "Newest first. `next` is the `cursor` of the following page; null: there is none.",
    ),
    "Replay": _REPLAY,
}

LIST_DELIVERIES = Operation(
    "GET",
    "/v1/deliveries",
    "listDeliveries",
    "List webhooks with each try of them, newest first",
    {200: json_answer("A page.", ref("DeliveryPage"), {"Link": NEXT_PAGE})},
    action=Action.READ,
    parameters=(
        query("endpoint", ASKED, "to this endpoint only"),
        query("state", {"type": "string", "enum": list(STATES)}, "in this state only"),
        query("invoice", ASKED, "of the invoice with this id only"),
        limit(DEFAULT_LIMIT, MAX_LIMIT),
        query("cursor", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "`next` of the page before"),
    ),
    problems=(404,),
)
BEGIN_REPLAY = Operation(
    "POST",
    "/v1/replays",
    "beginReplay",
    "Send events once more, with the ids they had",
    {
        202: json_answer(
            "A job does it from now on.",
            ref("Replay"),
            {"Location": LOCATION},
            {"replay": Link("showReplay", {"id": "$response.body#/id"})},
        )
    },
    action=Action.REPLAY,
    about="One by its id, or an endpoint's by type and time; at most 10,000 a job. In each invoice's order.",
    body={JSON: ref("ReplayRequest")},
    problems=(404, 422),
)
SHOW_REPLAY = Operation(
    "GET",
    "/v1/replays/{id}",
    "showReplay",
    "Show how far a replay is",
    {200: json_answer("The job.", ref("Replay"))},
    action=Action.READ,
    parameters=(in_path("the replay's"),),
    problems=(400, 404),
)
