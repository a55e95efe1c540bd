"""The layers around every request: the real client, the allowed hosts, a line in the log, an answer to any error.

Plain ASGI: each layer wraps the next.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.http.networks import as_address, contains
from workers.web.problems import problem

log = structlog.get_logger()

#: No real request comes over more proxies than this.
MAX_HOPS = 20
MAX_PATH = 200  #: characters of a path in the log
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
#: Orchestrators and Prometheus ask for these every few seconds: logged at debug only.
METRICS = "/metrics"
QUIET_PATHS = ("/health/", METRICS)
#: A Host header as it is to be. Anything else is no name of ours: ``localhost:80@elsewhere`` least of all.
_NAME_AND_PORT = re.compile(r"(?P<name>\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]*)?")

#: Gets each request's route, method, status and seconds.
Observe = Callable[[str, str, int, float], None]


class Forwarded:
    """Believes the forwarded headers of trusted proxies only: the client is the last address that is not a proxy's."""

    def __init__(self, application: ASGIApp, trusted: tuple[str, ...]) -> None:
        self._application = application
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        peer = (scope.get("client") or ("", 0))[0]
        if scope["type"] == "http" and self._trusted and contains(self._trusted, peer):
            scope = {**scope, **self._read(scope)}
        await self._application(scope, receive, send)

    def _read(self, scope: Scope) -> dict[str, object]:
        found: dict[str, object] = {}
        hops = [hop.strip() for hop in _header(scope, b"x-forwarded-for").split(",") if hop.strip()][-MAX_HOPS:]
        for hop in reversed(hops):
            found["client"] = (hop[:64], 0)
            if not contains(self._trusted, hop):
                break
        scheme = _header(scope, b"x-forwarded-proto").rpartition(",")[2].strip().lower()
        if scheme in {"http", "https"}:
            found["scheme"] = scheme
        host = _header(scope, b"x-forwarded-host").rpartition(",")[2].strip()
        if host:
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            found["headers"] = [*others, (b"host", host.encode("latin-1", "replace"))]
        return found


class AllowedHosts:
    """Answers 421 to a Host that is not ours, so that a web page can't reach us by a name of its own (DNS rebinding).

    `/metrics` also takes an address as its Host: Prometheus often scrapes by address, no page can have an address for
    its name, and the client's address decides who may read it.
    """

    def __init__(self, application: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._application = application
        self._hosts = frozenset({*LOOPBACK_NAMES, *hosts})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and not self._serves(scope):
            answer = problem(421, "this host is not served here: see INVOICES_WEB_ALLOWED_HOSTS")
            await answer(scope, receive, send)
            return
        await self._application(scope, receive, send)

    def _serves(self, scope: Scope) -> bool:
        host = host_of(_header(scope, b"host"))
        return host in self._hosts or (scope["path"] == METRICS and as_address(host) is not None)


class AccessLog:
    """One log line per request, without the query string. An error becomes its answer; a bug is logged and answered
    500."""

    def __init__(
        self,
        application: ASGIApp,
        observe: Observe,
        answer_to: Callable[[Exception], Response | None] = lambda _: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``answer_to(error)``: None for a bug."""
        self._application = application
        self._observe = observe
        self._answer_to = answer_to
        self._clock = clock
        self._log = log.bind()  # once: a line is written for each request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began, statuses = self._clock(), []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self._application(scope, receive, sending)
        except Exception as error:
            answer = None if statuses else self._answer_to(error)
            if answer is None:
                log.exception("web.bug", path=_shown(scope), traceback=True)
                answer = problem(500, "this is our fault, and it is in the log")
            if not statuses:
                await answer(scope, receive, sending)
        finally:
            self._tell(scope, statuses[0] if statuses else 499, self._clock() - began)  # 499: the client has left

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        method, path = scope["method"][:16], _shown(scope)
        tell = self._log.debug if path.startswith(QUIET_PATHS) else self._log.info
        client = (scope.get("client") or ("", 0))[0]
        tell("web.request", method=method, path=path, status=status, ms=round(seconds * 1000, 1), client=client)
        self._observe(route_of(scope), method, status, seconds)


def route_of(scope: Scope) -> str:
    """The route that answered, such as ``/callbacks/{account}``: a metric may have it for a label."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "none"


def host_of(value: str) -> str:
    """The name in a Host header, in lower case and without its port."""
    value = value.strip().lower()
    found = _NAME_AND_PORT.fullmatch(value)
    return value if found is None else found["name"].strip("[]")


def _shown(scope: Scope) -> str:
    path = str(scope.get("path", ""))[:MAX_PATH]
    if path.isprintable():
        return path
    return "".join(character if character.isprintable() else "?" for character in path)


def _header(scope: Scope, name: bytes) -> str:
    """All values of a header, joined by commas."""
    return b",".join([value for key, value in scope["headers"] if key == name]).decode("latin-1")
