"""Parts that several operations share."""

from __future__ import annotations

from domain.schemas import ID_PATTERN, Schema, or_null, record
from domain.visible import MEANINGFUL
from workers.web.api.schema.operation import Header, Link, Parameter
from workers.web.problems import TYPE_PREFIX

#: A name or an id to look for.
ASKED: Schema = {"type": "string", "pattern": MEANINGFUL}
WAIT: Schema = {"type": "integer", "minimum": 0, "maximum": 30}
ETAG = Header("the sequence of the invoice, in quotes", {"type": "string", "pattern": '^"[0-9]+"$'})
LOCATION = Header("where the new one is", {"type": "string", "format": "uri-reference"})
NEXT_PAGE = Header('`<…>; rel="next"`: the next page', always=False)


def an_id(prefix: str) -> Schema:
    """The schema of an id of ours."""
    return {"type": "string", "pattern": ID_PATTERN % prefix}


def in_path(about: str) -> Parameter:
    """The ``{id}`` of a path. Any text is allowed: one that is not an id of ours is not found."""
    return Parameter("id", "path", {"type": "string", "minLength": 1}, about)


def limit(default: int, most: int) -> Parameter:
    """How many a page may hold."""
    bounds: Schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", bounds, "how many at most")


INVOICE_ID = in_path("the invoice's")
OF_INVOICE: dict[str, Link] = {
    "invoice": Link("showInvoice", {"id": "$response.body#/id"}),
}

_FINDING = record({"detail": {"type": "string"}, "pointer": {"type": "string", "format": "json-pointer-uri-fragment"}})
PROBLEM_SCHEMA = record(
    {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": f"`about:blank`, or `{TYPE_PREFIX}…` where the status alone does not say what happened",
        },
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "what is wrong, in a sentence"},
        "errors": {"type": "array", "items": _FINDING, "description": "parts of the body that are wrong"},
        "existing_invoice": or_null({"type": "string"}) | {"description": "the one that stands in the way"},
        "oldest": {"type": "integer", "description": "the lowest position that events can be followed from"},
        "newest": {"type": "integer", "description": "the last position that was given"},
    },
    "What is answered instead of what was asked for (RFC 9457).",
    optional=("detail", "errors", "existing_invoice", "oldest", "newest"),
)
