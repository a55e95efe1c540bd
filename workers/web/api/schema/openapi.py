"""The OpenAPI 3.1 document: the operations of the routes that are served, and the webhooks that are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import BaseRoute

from domain.permissions import PERMISSIONS, Action, Scope
from domain.schemas import TEXT, Schema, component_schemas, ref
from workers.web.api.schema import acts, deliveries, drift, endpoints, events, invoices, orders, why
from workers.web.api.schema.operation import (
    PROBLEM,
    Answer,
    DescribedRoute,
    Header,
    Operation,
    Parameter,
    phrase,
)
from workers.web.api.schema.parts import PROBLEM_SCHEMA

Document = dict[str, Any]

VERSION = "3.1.1"
_ABOUT = (
    "Orders in, invoices and events out. Amounts are decimals in strings, times RFC 3339 in UTC. Answers may gain "
    "fields. Errors are problem documents (RFC 9457)."
)
#: Headers of problems, by status.
_PROBLEM_HEADERS: Mapping[int, Mapping[str, Header]] = {
    401: {"WWW-Authenticate": Header("how to sign in")},
    429: {"Retry-After": Header("seconds")},
    503: {"Retry-After": Header("seconds")},
}
_WEBHOOK_HEADERS = {
    "webhook-id": "the event's `id`, on every attempt",
    "webhook-timestamp": "epoch seconds of this attempt",
    "webhook-signature": "`v1,` and the HMAC-SHA256 of `id.timestamp.body`, one for each secret in force",
}
_WEBHOOKS = {
    "invoiceChanged": "InvoiceEvent",
    "invoiceContradicted": "ContradictionEvent",
    "orderRejected": "OrderRejectedEvent",
    "systemRestored": "RestoredEvent",
    "endpointTested": "TestEvent",
}


def openapi_document(routes: Iterable[BaseRoute], version: str) -> Document:
    """All of it. ``version``: this release's."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations(routes):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": VERSION,
        "info": {"title": "invoices", "version": version, "description": _ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "webhooks": {name: {"post": _webhook(name, schema)} for name, schema in _WEBHOOKS.items()},
        "components": {"schemas": schemas(), "securitySchemes": {"token": _token()}},
    }


def operations(routes: Iterable[BaseRoute]) -> list[Operation]:
    """The operations that the routes were made from."""
    return [one.operation for one in routes if isinstance(one, DescribedRoute)]


def schemas() -> dict[str, Schema]:
    """Every schema by its name."""
    found = {**component_schemas(), "Problem": PROBLEM_SCHEMA}
    for part in (orders, invoices, acts, endpoints, deliveries, events, why, drift):
        found |= part.SCHEMAS
    return dict(sorted(found.items()))


def scopes_of(action: Action) -> list[str]:
    """The scopes of tokens that allow it."""
    return [scope.value for scope in Scope if action in PERMISSIONS[scope]]


def _operation(operation: Operation) -> Document:
    described: Document = {"operationId": operation.name, "summary": operation.summary}
    if operation.about:
        described["description"] = operation.about
    if operation.parameters:
        described["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body:
        content = {kind: {"schema": schema} for kind, schema in operation.body.items()}
        described["requestBody"] = {"required": True, "content": content}
    answers = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    answers |= {str(status): _problem(status) for status in operation.refusals()}
    described["responses"] = dict(sorted(answers.items()))
    # For schemes other than OAuth OpenAPI reads these as roles, one of which is needed.
    described["security"] = [{"token": scopes_of(operation.action)}] if operation.action else []
    return described


def _parameter(parameter: Parameter) -> Document:
    required = parameter.where == "path"
    described = {"name": parameter.name, "in": parameter.where, "required": required}
    return described | {"description": parameter.about, "schema": parameter.schema}


def _answer(answer: Answer) -> Document:
    described: Document = {"description": answer.about}
    if answer.content:
        described["content"] = {kind: {"schema": schema} for kind, schema in answer.content.items()}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    if answer.links:
        described["links"] = {
            name: {"operationId": link.operation, "parameters": dict(link.parameters)}
            for name, link in answer.links.items()
        }
    return described


def _problem(status: int) -> Document:
    return _answer(Answer(phrase(status), {PROBLEM: ref("Problem")}, _PROBLEM_HEADERS.get(status, {})))


def _headers(headers: Mapping[str, Header]) -> Document:
    return {
        name: {"description": one.about, "required": one.always, "schema": one.schema} for name, one in headers.items()
    }


def _webhook(name: str, schema: str) -> Document:
    signed = [
        {"name": header, "in": "header", "required": True, "description": about, "schema": TEXT}
        for header, about in _WEBHOOK_HEADERS.items()
    ]
    return {
        "operationId": name,
        "summary": component_schemas()[schema]["description"],
        "description": "Signed as Standard Webhooks has it; in order per invoice; tried again for three days.",
        "parameters": signed,
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(schema)}}},
        "responses": {
            "2XX": {"description": "Taken. Anything else is tried again."},
            "410": {"description": "The receiver is gone: its endpoint is disabled, and what waits for it is kept."},
        },
        "security": [],
    }


def _token() -> Document:
    about = "`invoices tokens add`. A token sees only its accounts; the roles that stand with an operation are scopes."
    return {"type": "http", "scheme": "bearer", "description": about}
