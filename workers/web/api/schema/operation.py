"""An operation of ``/v1``: what it takes and answers. Its route and its entry in OpenAPI are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.permissions import Action
from domain.schemas import Schema
from domain.visible import why_meaningless
from workers.web.api.api import JSON

PROBLEM = "application/problem+json"

Endpoint = Callable[[Request], Awaitable[Response]]

#: Problems of every operation that needs a token: no token, not for this, too often, the store is away.
WITH_TOKEN = (401, 403, 429, 503)
#: Problems of every operation with a body: not readable, too slow, too large, of another type.
WITH_BODY = (400, 408, 413, 415)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of the request beside its body."""

    name: str
    where: Literal["path", "query", "header"]
    schema: Schema
    about: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header of an answer. Not ``always``: only where it applies."""

    about: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    always: bool = True


@dataclass(frozen=True, slots=True)
class Link:
    """From an answer to another operation, with its parameters as runtime expressions."""

    operation: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem. ``content``: schema by media type; empty: no body."""

    about: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Header] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """``action``: what the token must allow; None: no token is needed. ``problems``: statuses besides those that follow
    from the rest."""

    method: Literal["GET", "POST", "DELETE", "PATCH", "PUT"]
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    action: Action | None = None
    about: str = ""
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    problems: Sequence[int] = ()

    def refusals(self) -> list[int]:
        """The statuses of all problems that may be answered, in order."""
        found = {421, *self.problems}
        found |= set(WITH_TOKEN if self.action else ()) | set(WITH_BODY if self.body else ())
        if any(parameter.where == "query" for parameter in self.parameters):
            found.add(400)
        return sorted(found)


class DescribedRoute(Route):
    """A route made from an operation. ``allowed``: the methods of all routes with its path."""

    def __init__(self, operation: Operation, endpoint: Endpoint) -> None:
        super().__init__(operation.path, endpoint, methods=[operation.method])
        self.app = _answering(endpoint)
        self.operation = operation
        self.allowed = frozenset(self.methods or ())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette's, but 405 names the methods of all routes with this path."""
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"allow": ", ".join(sorted(self.allowed))})
        parts = scope["path_params"]
        if parts and any(why_meaningless(str(value)) for value in parts.values()):
            raise HTTPException(404)  # no id has such characters, and not every database takes them
        await super().handle(scope, receive, send)


def _answering(endpoint: Endpoint) -> ASGIApp:
    """As Starlette's, without its search for handlers of exceptions: one layer outside has them all."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return application


def route(operation: Operation, endpoint: Endpoint) -> DescribedRoute:
    """The route that serves the operation."""
    return DescribedRoute(operation, endpoint)


def know_each_other(routes: Sequence[BaseRoute]) -> None:
    """Tell each route the methods of all routes with its path."""
    described = [one for one in routes if isinstance(one, DescribedRoute)]
    for one in described:
        one.allowed = frozenset(
            method for other in described if other.path == one.path for method in other.methods or ()
        )


def phrase(status: int) -> str:
    """HTTP's own phrase for a status."""
    return HTTPStatus(status).phrase


def json_answer(
    about: str, schema: Schema, headers: Mapping[str, Header] | None = None, links: Mapping[str, Link] | None = None
) -> Answer:
    """An answer whose body is JSON."""
    return Answer(about, {JSON: schema}, dict(headers or {}), dict(links or {}))


def query(name: str, schema: Mapping[str, Any], about: str) -> Parameter:
    """A parameter of the query."""
    return Parameter(name, "query", dict(schema), about)


def header(name: str, schema: Mapping[str, Any], about: str) -> Parameter:
    """A header of the request."""
    return Parameter(name, "header", dict(schema), about)
