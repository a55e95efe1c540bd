"""The web process's application: its pages, and the layers around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from workers.web.bodies import BodyRefused
from workers.web.health import Health
from workers.web.metrics import Metrics, MetricsPage
from workers.web.problems import Problem, problem
from workers.web.surroundings import AccessLog, AllowedHosts, Forwarded, host_of


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who may reach it, and whom it believes."""

    trusted_proxies: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    metrics_allow: tuple[str, ...]
    public_url: str | None

    def hosts(self) -> tuple[str, ...]:
        """The names it answers to besides the loopback's."""
        public = urlsplit(self.public_url or "").netloc
        return (*self.allowed_hosts, *([host_of(public)] if public else []))


def build_application(
    surroundings: Surroundings,
    health: Health,
    metrics: Metrics,
    routes: Sequence[BaseRoute],
    on_end: Callable[[], None] = lambda: None,
) -> ASGIApp:
    """Health, metrics and ``routes``; ``on_end`` is called when the last request is over."""
    page = MetricsPage(metrics, surroundings.metrics_allow)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        page.close()
        on_end()

    pages = Starlette(
        routes=[
            *routes,
            Route("/health/live", health.live),
            Route("/health/ready", health.ready),
            Route("/metrics", page.answer),
        ],
        lifespan=lifespan,
        exception_handlers=_ANSWERS,
    )
    pages.router.redirect_slashes = False  # a redirect would name a scheme and a host, and is no problem document
    application: ASGIApp = AllowedHosts(pages, surroundings.hosts())
    return Forwarded(AccessLog(application, metrics.observe), surroundings.trusted_proxies)


async def _answer_http(request: Request, error: Exception) -> Response:
    """No such page, or not by this method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return problem(error.status_code, headers=dict(error.headers or {}))


async def _answer_body(request: Request, error: Exception) -> Response:
    assert isinstance(error, BodyRefused)  # noqa: S101 - what it is registered for
    return problem(error.status, error.detail, headers={"connection": "close"})  # part of it may be unread


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - what it is registered for
    return error.answer()


async def _answer_bug(request: Request, error: Exception) -> Response:
    """Starlette raises it again after this; `AccessLog` logs it."""
    return problem(500, "this is our fault, and it is in the log")


#: What is answered to an exception.
_ANSWERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _answer_http,
    BodyRefused: _answer_body,
    Problem: _answer_problem,
    Exception: _answer_bug,
}
