"""One HTTP call, bounded in time and size. Of every failure it tells whether the request may have been received.

The wire's exceptions tell it, and where the time-out came first, how far the request had got.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from workers.http.client import LeanClient, make_request
from workers.http.dialling import Dialler, Lookup, remembering
from workers.http.errors import NotSent, Unsendable
from workers.http.faults import fault_of
from workers.http.messages import CONNECTING, Reply, Request
from workers.http.name_lookup import SystemLookup
from workers.http.trust import public_tls
from workers.http.wire import Wire
from workers.providers.answer import Answer, Failure

#: The call gives up on an answer with more bytes.
MAX_BODY_BYTES = 1024 * 1024

#: How long an idle connection is kept. Servers close theirs after 5 s (Node) to 75 s (nginx), so ours close sooner: a
#: create that is written into a connection that the server is just closing would be in doubt for nothing.
KEEPALIVE_SECONDS = 4.0

#: How many parts of a gzip body are read, and how each begins.
MAX_MEMBERS = 64
GZIP_MAGIC = b"\x1f\x8b"

FIXED_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "invoices"}

#: How long the addresses of a provider's name are used again.
NAME_SECONDS = 10.0


@dataclass(slots=True)
class CallCount:
    """How many requests were sent, or tried."""

    made: int = 0


_count: ContextVar[CallCount | None] = ContextVar("count", default=None)


@contextmanager
def counting_calls() -> Iterator[CallCount]:
    """Counts the requests of this task, and of the tasks that it starts inside."""
    count = CallCount()
    token = _count.set(count)
    try:
        yield count
    finally:
        _count.reset(token)


class _TooLargeError(Exception):
    """The answer is longer than MAX_BODY_BYTES."""


class Call:
    """Sends requests over one shared client."""

    def __init__(self, client: LeanClient, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._clock = clock

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_seconds: float,
        secrets: Sequence[str] = (),
    ) -> Answer | Failure:
        """Make one request. Raises nothing but cancellation.

        ``timeout_seconds`` bounds all of it: waiting for a connection, connecting, sending, reading the whole answer.
        ``secrets`` are masked in everything that is quoted from the answer.
        """
        asked_at = self._clock()
        request = self._prepare(method, url, {**FIXED_HEADERS, **headers}, body)
        if isinstance(request, str):
            return Failure(never_sent=True, reason=request, asked_at=asked_at)
        if (count := _count.get()) is not None:
            count.made += 1
        limit = self._client.limit(timeout_seconds)
        try:
            with limit:
                status, answered, content = await self._exchange(request)
        except Exception as error:  # noqa: BLE001 - the transport raises anything; each exception is an outcome
            return _read_failure(error, request, asked_at, timed_out=limit.is_expired)
        return Answer(status=status, headers=answered, body=content, asked_at=asked_at, secrets=tuple(secrets))

    def _prepare(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Request | str:
        """The request, or why there is none: one that can't be built was certainly not sent."""
        if self._client.is_closed:
            return "this process is stopping"
        try:
            return make_request(method, url, headers, body)
        except (httpx.InvalidURL, ValueError) as error:
            return f"the request can't be built ({type(error).__name__}): look at base_url and api_key"

    async def _exchange(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        reply = await self._client.exchange(request)
        try:
            content = reply.whole()
            if content is None:
                content = await _read(reply)
            if len(content) > MAX_BODY_BYTES:
                raise _TooLargeError
            answered = _plain_headers(reply.raw_headers)
            return reply.status_code, answered, _unpack(content, answered.get("content-encoding", ""))
        finally:
            await reply.aclose()


async def _read(reply: Reply) -> bytes:
    """The body; of one that is too large, not all."""
    content = bytearray()
    while len(content) <= MAX_BODY_BYTES and (chunk := await reply.read()):
        content += chunk
    return bytes(content)


def _plain_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; one that came several times is joined by commas. As httpx does it, but without its
    guess at their encoding, which costs more than parsing the answer."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _unpack(content: bytes, encoding: str) -> bytes:
    """Unpack an answer that came compressed though nobody asked for it. Other encodings, and several at once, stay
    packed, and are then no JSON.

    Not by httpx, which has no bound: 2 KB, packed twice, became 1 GB and held up every call for 15 s.
    """
    name = encoding.strip().lower()
    if name not in {"gzip", "x-gzip", "deflate"}:
        return content
    try:
        return _inflate(content, zlib.MAX_WBITS | 32)  # gzip or zlib, as its header says
    except zlib.error:
        if name != "deflate":
            raise
        return _inflate(content, -zlib.MAX_WBITS)  # without a header: what some servers mean by "deflate"


def _inflate(content: bytes, window_bits: int) -> bytes:
    """Unpack all members, one after the other (a gzip file may have several). What follows them is padding."""
    unpacked = bytearray()
    for _ in range(MAX_MEMBERS):
        unpacker = zlib.decompressobj(window_bits)
        unpacked += unpacker.decompress(content, MAX_BODY_BYTES + 1 - len(unpacked))
        if len(unpacked) > MAX_BODY_BYTES:
            raise _TooLargeError
        content = unpacker.unused_data
        if not content.startswith(GZIP_MAGIC):
            return bytes(unpacked)
    raise zlib.error("more members than anybody needs")


def _read_failure(error: Exception, request: Request, asked_at: datetime, *, timed_out: bool) -> Failure:
    """``never_sent`` only if that is proved: by the kind of exception, or because there never was a connection."""
    never_connected = request.progress == CONNECTING
    if timed_out:
        reason = "no connection within the time-out" if never_connected else "no whole answer within the time-out"
    elif isinstance(error, _TooLargeError):
        reason = f"the answer is longer than {MAX_BODY_BYTES} bytes"
    elif isinstance(error, zlib.error):
        reason = "the answer's compression can't be read"
    else:
        fault = fault_of(error)
        reason = f"{fault.words if fault else 'the call failed'} ({type(error).__name__})"
        if isinstance(error, Unsendable):
            reason = f"{reason}: look at base_url and api_key"
    return Failure(never_sent=never_connected or isinstance(error, NotSent), reason=reason, asked_at=asked_at)


def open_client(max_connections: int, lookup: Lookup | None = None) -> LeanClient:
    """One client for a process, to be kept open and closed with ``aclose()``. Made anywhere, used on one event loop.

    No proxies from the environment, no redirects (a provider that moved is the operator's to look at), no cookies,
    answers uncompressed. ``lookup`` gives the addresses of (host, port).
    """
    dialler = Dialler(remembering(lookup or SystemLookup(), NAME_SECONDS), public_tls())
    wire = Wire(
        dialler,
        keepalive_seconds=KEEPALIVE_SECONDS,
        received_limit=2 * MAX_BODY_BYTES,
        max_connections=max_connections,
    )
    return LeanClient(wire)
