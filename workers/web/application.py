"""The web process's application: its pages, and the layers around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from workers.web.bodies import BodyRefused
from workers.web.health import Health
from workers.web.metrics import Metrics, MetricsPage
from workers.web.problems import NO_PAGE, Problem, problem
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
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        page.close()
        on_end()

    pages = _Pages(
        routes=[
            *routes,
            Route("/health/live", health.live),
            Route("/health/ready", health.ready),
            Route("/metrics", page.answer),
        ],
        redirect_slashes=False,  # a redirect would name a scheme and a host, and is no problem document
        lifespan=lifespan,
    )
    application: ASGIApp = AllowedHosts(pages, surroundings.hosts())
    return Forwarded(AccessLog(application, metrics.observe, answer_to), surroundings.trusted_proxies)


class _Pages(Router):
    """Starlette's router, without the application around it: ``AccessLog`` answers errors, in one layer instead of
    three. A page that is not there, or not by this method, is an error too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and stop."""
        scope["app"] = self  # otherwise it answers some errors itself, as plain text
        await self.app(scope, receive, send)


#: What is said of a page that is not there, or not by this method.
_UNSERVED = {404: NO_PAGE, 405: "this method is not served here; the header Allow names those that are"}


def answer_to(error: Exception) -> Response | None:
    """What is answered instead of what was asked for; None: the error is a bug."""
    if isinstance(error, Problem):
        return error.answer()
    if isinstance(error, HTTPException):  # no such page, or not by this method
        headers = dict(error.headers or {})
        return problem(error.status_code, _UNSERVED.get(error.status_code, ""), headers=headers)
    if isinstance(error, BodyRefused):
        return problem(error.status, error.detail, headers={"connection": "close"})  # part of it may be unread
    return None
