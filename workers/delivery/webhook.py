"""Sends a webhook: signed, through the address guard, within limits of time and of the answer's size."""

from __future__ import annotations

import functools
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from domain.masking import header_secrets, mask, mask_bytes
from domain.trace import trace_headers
from workers.delivery.attempt import (
    ERROR_LENGTH,
    KEEP_LIMIT,
    READ_LIMIT,
    Attempt,
    Outgoing,
    read_error,
    read_status,
)
from workers.delivery.signature import sign
from workers.http.address import AddressGuard
from workers.http.client import LeanClient, make_request
from workers.http.dialling import Dialler
from workers.http.retry_after import read_retry_after
from workers.http.trust import public_tls
from workers.http.wire import Wire

USER_AGENT = "invoices/0.1"

#: How long an idle connection is kept: shorter than common servers keep theirs (5 s), which would cost an attempt.
KEEPALIVE_SECONDS = 4.0

#: More bytes than this must not arrive for one request.
RECEIVED_LIMIT = 1024 * 1024

CUSTOM_HEADERS_LIMIT = 4096
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_OWN_PREFIXES = ("webhook-", "ce-", "content-", "proxy-")
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)

_FIXED_HEADERS = {
    # Not application/cloudevents+json: Standard Webhooks receivers parse plain JSON, and this body is both.
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "accept-encoding": "identity",
}


_TRACE_HEADERS = frozenset({"traceparent", "tracestate"})


def check_headers(headers: Mapping[str, object]) -> None:
    """Raise ValueError, naming the header but never its value, where an endpoint's own headers can't be sent.

    At most 4 KiB in all, no control characters, and none of the headers that the protocol, the signature or the
    envelope needs.
    """
    seen: set[str] = set()
    size = 0
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is not a header name")
        low = name.lower()
        if low in _OWN_HEADERS or low.startswith(_OWN_PREFIXES):
            raise ValueError(f"headers: {name} may not be set")
        if low in seen:
            raise ValueError(f"headers: {name} is there twice")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"headers: the value of {name} is not printable ASCII on one line")
        seen.add(low)
        size += len(name) + len(value) + 4
    if size > CUSTOM_HEADERS_LIMIT:
        raise ValueError(f"headers: {size} bytes, at most {CUSTOM_HEADERS_LIMIT} are allowed")


class WebhookSender:
    """One HTTP client for all endpoints. Enter it by ``async with`` on the event loop that sends."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        connect_seconds: float = 5,
        total_seconds: float = 15,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``total_seconds`` is for the whole exchange, DNS and TLS included; waiting for a thread that asks DNS does
        not count. ``clock`` gives epoch seconds."""
        self._guard = guard
        self._connect_seconds = connect_seconds
        self._total_seconds = total_seconds
        self._tls = tls
        self._clock = clock
        self._client: LeanClient | None = None

    async def __aenter__(self) -> Self:
        self._client = _open_client(self._guard, self._tls or public_tls(), self._connect_seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def send(self, delivery: Outgoing, *, webhook_headers: Mapping[str, str] | None = None) -> Attempt:
        """Make one attempt. Every failure becomes an ``Attempt``; only cancellation, and RuntimeError when not entered,
        get out.

        ``webhook_headers`` replace id, timestamp and signature: ``receiver_check`` sends false ones.
        """
        if self._client is None:
            raise RuntimeError("WebhookSender is used inside `async with`")
        started = time.perf_counter()
        error_line: str | None
        limit = self._client.limit(self._total_seconds)
        exchange = _Exchange(self._client, self._guard, self._clock, limit.wait)
        try:
            with limit:
                await exchange.run(delivery, webhook_headers)
        except Exception as error:  # noqa: BLE001 - a receiver can provoke any error; each is an attempt's outcome
            outcome, error_line = read_error(error, self._connect_seconds, self._total_seconds)
        else:
            outcome, error_line = read_status(exchange.status or 0)
        secrets = _secrets_of(delivery)
        return Attempt(
            outcome=outcome,
            status=exchange.status,
            latency_ms=round((time.perf_counter() - started - limit.waited_seconds) * 1000),
            answer=mask_bytes(bytes(exchange.answer), secrets)[:KEEP_LIMIT],
            error=error_line and mask(error_line, secrets)[:ERROR_LENGTH],
            retry_after_seconds=exchange.retry_after_seconds,
        )


class _Exchange:
    """A request and what has arrived of its answer: what came before a failure is kept, too."""

    def __init__(
        self,
        client: LeanClient,
        guard: AddressGuard,
        clock: Callable[[], float],
        tell_wait: Callable[[float], None],
    ) -> None:
        self._client = client
        self._guard = guard
        self._clock = clock
        self._tell_wait = tell_wait
        self.status: int | None = None
        self.retry_after_seconds: float | None = None
        self.answer = bytearray()

    async def run(self, delivery: Outgoing, webhook_headers: Mapping[str, str] | None) -> None:
        target = self._guard.check_url(delivery.url)
        check_headers(delivery.headers)
        signed = signed_headers(delivery, int(self._clock())) if webhook_headers is None else webhook_headers
        headers = {**delivery.headers, **_FIXED_HEADERS}
        request = make_request("POST", target.url, headers, delivery.body, {**_traced(delivery), **signed})
        request.tell_wait = self._tell_wait
        reply = await self._client.exchange(request)
        try:
            self.status = reply.status_code
            if reply.status_code in {429, 503}:
                now = datetime.fromtimestamp(self._clock(), UTC)
                self.retry_after_seconds = read_retry_after(reply.header(b"retry-after"), now)
            whole = reply.whole()
            if whole is not None:
                self.answer += whole
                return
            while len(self.answer) < READ_LIMIT and (chunk := await reply.read()):
                self.answer += chunk
        finally:
            await reply.aclose()


def _traced(delivery: Outgoing) -> Mapping[str, str]:
    """The trace's headers, unless the endpoint sets some itself."""
    if delivery.trace is None or any(name.lower() in _TRACE_HEADERS for name in delivery.headers):
        return {}
    return trace_headers(delivery.trace)


@functools.lru_cache(256)
def _secrets_among(secrets: tuple[str, ...], header_values: tuple[str, ...]) -> tuple[str, ...]:
    bare = tuple(secret.removeprefix("whsec_") for secret in secrets)
    return (*secrets, *bare, *header_secrets(header_values))


def _secrets_of(delivery: Outgoing) -> tuple[str, ...]:
    """What a receiver may echo, but the log of attempts must not show."""
    return _secrets_among(delivery.secrets, tuple(delivery.headers.values()))


def signed_headers(delivery: Outgoing, timestamp: int) -> dict[str, str]:
    """The three headers of Standard Webhooks; ``timestamp`` in epoch seconds."""
    return {
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(delivery.secrets, delivery.event_id, timestamp, delivery.body),
    }


def _open_client(guard: AddressGuard, tls: ssl.SSLContext, connect_seconds: float) -> LeanClient:
    """A name is resolved, vetted and connected to in one go: nothing is remembered."""
    dialler = Dialler(guard.lookup, tls, vet=guard.vet_origin, connect_seconds=connect_seconds)
    return LeanClient(Wire(dialler, keepalive_seconds=KEEPALIVE_SECONDS, received_limit=RECEIVED_LIMIT))
