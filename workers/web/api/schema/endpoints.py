"""``/v1/endpoints``."""

from __future__ import annotations

from domain.permissions import Action
from domain.requests import EndpointChange, EndpointRequest
from domain.schemas import TEXT, TIME, WHOLE, Schema, model_schemas, or_null, record, ref
from workers.web.api.api import JSON
from workers.web.api.schema.operation import Answer, Link, Operation, Parameter, json_answer
from workers.web.api.schema.parts import LOCATION, an_id, in_path

_TEXTS: Schema = {"type": "array", "items": TEXT}
_FIELDS: dict[str, Schema] = {
    "id": an_id("ep"),
    "url": TEXT,
    "events": or_null(_TEXTS) | {"description": "only these types; null: every change of an invoice"},
    "accounts": or_null(_TEXTS) | {"description": "only these accounts' events; null: all"},
    "headers": _TEXTS | {"description": "names; what they hold is not shown"},
    "max_in_flight": WHOLE,
    "created_at": TIME,
    "disabled_at": or_null(TIME),
    "disabled_reason": or_null(TEXT),
    "waiting": WHOLE | {"description": "deliveries that wait"},
    "dead": WHOLE | {"description": "deliveries that were given up"},
    "last_success_at": or_null(TIME),
}
#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = model_schemas(EndpointRequest, EndpointChange) | {
    "Endpoint": record(_FIELDS, "A receiver of webhooks, and how it does."),
    "NewEndpoint": record(_FIELDS | {"secret": TEXT}, "The same with its secret, which is told this once."),
    "Endpoints": record({"endpoints": {"type": "array", "items": ref("Endpoint")}}, "Oldest first."),
}
ENDPOINT_ID: Parameter = in_path("the endpoint's")
_LINKS = {"endpoint": Link("showEndpoint", {"id": "$response.body#/id"})}

LIST_ENDPOINTS = Operation(
    "GET",
    "/v1/endpoints",
    "listEndpoints",
    "List receivers of webhooks",
    {200: json_answer("Those that the token sees.", ref("Endpoints"))},
    action=Action.READ,
    about="A token that is limited to accounts sees only endpoints that are limited to them.",
    problems=(400,),
)
ADD_ENDPOINT = Operation(
    "POST",
    "/v1/endpoints",
    "addEndpoint",
    "Add a receiver of webhooks",
    {201: json_answer("It gets every event from now on.", ref("NewEndpoint"), {"Location": LOCATION}, _LINKS)},
    action=Action.ENDPOINTS,
    body={JSON: ref("EndpointRequest")},
    problems=(404, 422),
)
SHOW_ENDPOINT = Operation(
    "GET",
    "/v1/endpoints/{id}",
    "showEndpoint",
    "Show a receiver of webhooks",
    {200: json_answer("The endpoint.", ref("Endpoint"))},
    action=Action.READ,
    parameters=(ENDPOINT_ID,),
    problems=(400, 404),
)
CHANGE_ENDPOINT = Operation(
    "PATCH",
    "/v1/endpoints/{id}",
    "changeEndpoint",
    "Change a receiver of webhooks",
    {200: json_answer("The endpoint after it.", ref("Endpoint"))},
    action=Action.ENDPOINTS,
    about="What is left out stays as it is. What waits is sent by the new settings; the secret is the same.",
    parameters=(ENDPOINT_ID,),
    body={JSON: ref("EndpointChange")},
    problems=(404, 422),
)
REMOVE_ENDPOINT = Operation(
    "DELETE",
    "/v1/endpoints/{id}",
    "removeEndpoint",
    "Remove a receiver with everything that still waits for it",
    {204: Answer("It is gone.")},
    action=Action.ENDPOINTS,
    parameters=(ENDPOINT_ID,),
    problems=(404,),
)


def _switch(word: str, name: str, summary: str) -> Operation:
    return Operation(
        "POST",
        f"/v1/endpoints/{{id}}/{word}",
        name,
        summary,
        {200: json_answer("The endpoint after it.", ref("Endpoint"))},
        action=Action.ENDPOINTS,
        parameters=(ENDPOINT_ID,),
        body={JSON: ref("Reason")},
        problems=(404, 422),
    )


ENABLE_ENDPOINT = _switch("enable", "enableEndpoint", "Deliver again, at once and with all tries anew")
DISABLE_ENDPOINT = _switch("disable", "disableEndpoint", "Let a receiver's events wait; none is dropped")
