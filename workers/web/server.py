"""Runs an application on uvicorn: its own socket, bounded headers and idle connections, a graceful stop."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import threading
from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable, Sequence

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from workers.http.open_files import raise_limit
from workers.web.answers import Together
from workers.web.problems import problem

log = structlog.get_logger()

HEADER_SECONDS = 10.0  #: within which a request's line and headers must have come
IDLE_SECONDS = 15  #: after which a connection without a request is closed
#: For so long, and for so many bytes, what a client still sends of a request is read after its answer. If we closed
#: the connection at once, it would be reset, and the client might never see the answer.
LINGER_SECONDS = 5.0
LINGER_BYTES = 16 * 1024 * 1024
STOP_SECONDS = 20  #: that requests under way have after SIGTERM
MOST_CONNECTIONS = 3500  #: with more, requests are answered 503; requests that wait for an invoice count too
SPARE_FILES = 200  #: open files that are not connections of clients: databases, the broker, logs
HEADER_BYTES = 32 * 1024
TOO_LARGE = f"The request line and headers are longer than {HEADER_BYTES} bytes."
BACKLOG = 1024


class CannotListen(OSError):  # noqa: N818 - reads as what happened
    """The address is in use or not this host's. One line that names the setting."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on a request's headers, in bytes and seconds: a trickle must not hold a connection
    for ever, and the parser (Node's) has no bounds of its own."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._header_timer: TimerHandle | None = None
        self._is_behind_head = False  #: of the request that is being read
        self._is_fruitful = False  #: the last read brought some of a body, or the end of a head or a message
        self._fruitless_bytes = 0  #: read since then
        self._is_refused = False  #: what came is no HTTP, and there may be more of it
        self._linger_timer: TimerHandle | None = None
        self._lingered_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A new connection: wait for its first request's headers."""
        super().connection_made(transport)
        self.transport = Together(transport, self.loop, self._linger)  # type: ignore[assignment]  # it has what uvicorn uses
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of the next one on a kept connection."""
        if self.transport.is_closing():
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self.transport.close()
            return
        self._is_fruitful = False
        super().data_received(data)
        self._fruitless_bytes = 0 if self._is_fruitful else self._fruitless_bytes + len(data)
        if self._fruitless_bytes > HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(TOO_LARGE)
        if not self._is_between_requests():
            self._forget_timer()
        elif self._header_timer is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._forget_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The parser's first word of a request."""
        self._is_behind_head = False
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. A trailer is dropped: it must not be taken for one."""
        if not self._is_behind_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take the request only if every proxy on its way understands it alike."""
        self._is_behind_head = self._is_fruitful = True
        hosts = sum(name == b"host" for name, _ in self.headers)
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError("one Host header, please")
        if size > HEADER_BYTES:
            raise ValueError(TOO_LARGE)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._is_fruitful = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._is_fruitful = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, as uvicorn does, but with a problem document."""
        if not self._is_between_requests() and (self.cycle.response_started or not self.cycle.more_body):
            self.transport.close()  # the client waits for another request's answer
            return
        self._is_refused = True
        answer = problem(400, msg, {"connection": "close"})
        head = b"".join(b"%b: %b\r\n" % header for header in answer.raw_headers)
        self.transport.write(STATUS_LINE[400] + head + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _linger(self) -> bool:
        """Whether the client may still be sending when the connection is to be closed: read on, and drop it."""
        cycle: RequestResponseCycle | None = self.cycle
        if not self._is_refused and (cycle is None or not cycle.more_body):
            return False
        self.flow.resume_reading()
        self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)
        return True

    def _is_between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, though not by its annotation
        return cycle is None or cycle.response_complete

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _forget_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _give_up(self) -> None:
        self._header_timer = None
        if self._is_between_requests() and not self.transport.is_closing():
            self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; with port 0 on a free port. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"INVOICES_WEB_HOST: can't listen on {host}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise CannotListen(f"INVOICES_WEB_PORT: can't listen on port {port} of {host}: {error.strerror}") from None
    bound.setblocking(False)
    return bound


def answers(loop: AbstractEventLoop, seconds: float) -> bool:
    """Whether a loop turns within so many seconds, or has ended. Call it from any thread but the loop's own."""
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(turned.set)
    except RuntimeError:  # closed
        return True
    return turned.wait(seconds)


def url_of(bound: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    application: ASGIApp,
    bound: socket.socket,
    tell: Callable[[str], None],
    on_stop: Sequence[Callable[[], object]] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; ``tell`` gets the URL once requests are taken. Call it from the main thread.

    ``on_stop`` is called on the loop when the stop begins, to end requests that would wait longer than STOP_SECONDS.
    """
    config = _configure(application)
    # After it has stopped, uvicorn raises the signal again for the handler that was there before: a stop is no failure.
    former = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_Server(config, tell, url_of(bound), on_stop).serve(sockets=[bound]))
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _configure(application: ASGIApp) -> Config:
    return Config(
        application,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,  # our own logging takes the libraries' records too
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `Forwarded` knows which proxies to believe
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        limit_concurrency=most_connections(),
        backlog=BACKLOG,
    )


def most_connections() -> int:
    """How many connections may be open at a time, as far as this process may open files."""
    raise_limit()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, soft - SPARE_FILES))


class _Server(uvicorn.Server):
    """Says where it listens, and calls ``on_stop`` before it waits for the requests under way."""

    def __init__(
        self, config: Config, tell: Callable[[str], None], url: str, on_stop: Sequence[Callable[[], object]]
    ) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._tell = tell
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        log.info("web.listening", url=self._url)
        self._tell(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        for stop in self._on_stop:
            stop()
        await super().shutdown(sockets)
