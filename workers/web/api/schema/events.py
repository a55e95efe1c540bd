"""``GET /v1/events`` and ``/v1/snapshot``."""

from __future__ import annotations

from domain.permissions import Action
from domain.schemas import TEXT, Schema, invoice_schema, record, ref
from workers.web.api.api import JSON, NDJSON
from workers.web.api.schema.operation import Answer, Header, Operation, header, query
from workers.web.api.schema.parts import limit

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
SSE = "text/event-stream"
POSITION_HEADER = "Snapshot-Position"
NEXT_HEADER = "Next-Position"

#: Positions stay at or below this, though they begin far above the last ones after each restore of the database.
MAX_POSITION = 2**53 - 1
POSITION: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_POSITION}
_ANY_POSITION: Schema = {"type": "integer", "minimum": 0}  #: one that was never given is 410, however large

#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = {
    "LoggedEvent": record({"position": POSITION, "event": ref("Event")}, "An event and its place in the log."),
    "EventPage": record(
        {"events": {"type": "array", "items": ref("LoggedEvent")}, "next": POSITION},
        "Events in the order of their positions. `next` is the `after` of the following page.",
    ),
    "SnapshotInvoice": record(
        {**invoice_schema()["properties"], "as_of": {**POSITION, "description": "the position it is the state of"}},
        "An invoice as it was at a position of the log.",
    ),
}

LIST_EVENTS = Operation(
    "GET",
    "/v1/events",
    "listEvents",
    "Follow the log of events",
    {
        200: Answer(
            "What comes after the position: a page, a line each, or a stream that goes on live.",
            {
                JSON: ref("EventPage"),
                NDJSON: ref("LoggedEvent"),
                SSE: {"type": "string", "description": "`id` is the position, `data` the event"},
            },
            {NEXT_HEADER: Header("pages and lines: as `next`", {"type": "string"}, always=False)},
        )
    },
    action=Action.READ,
    about=(
        "Without a gap and in order: whoever keeps `next`, or the last position, misses nothing, sees nothing twice. "
        "410 where some of what comes after a position was removed, or where it was never given: take a snapshot and "
        "go on from its position. A stream ends when the process stops or its reader is too slow: come back with the "
        "last id (`Last-Event-ID`)."
    ),
    parameters=(
        query("after", _ANY_POSITION, "the last position that was seen; default: all that is kept"),
        limit(DEFAULT_LIMIT, MAX_LIMIT),
        header("Last-Event-ID", TEXT, "streams only: a position, which goes before `after`"),
    ),
    problems=(410,),
)

SHOW_SNAPSHOT = Operation(
    "GET",
    "/v1/snapshot",
    "showSnapshot",
    "Every invoice as of a position of the log",
    {
        200: Answer(
            "A line for each invoice, by id.",
            {NDJSON: ref("SnapshotInvoice")},
            {POSITION_HEADER: Header("the position: go on with `GET /v1/events?after=` it", {"type": "string"})},
        )
    },
    action=Action.READ,
    about="For whoever lost what it knew: the snapshot, then the events after its position, without a gap or a repeat.",
    parameters=(query("as_of", _ANY_POSITION, "default: now"),),
    problems=(410,),
)
