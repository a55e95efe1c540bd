"""One delivery attempt: what is sent, what comes of it, and what each failure is called."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from domain.visible import one_line
from workers.http.address import AddressRefused
from workers.http.errors import ConnectFailed, ConnectTimedOut, HandshakeFailed, NameFailed, NotHttp, Unsendable
from workers.http.faults import fault_of
from workers.http.name_lookup import OUT_OF_RESOURCES, LookupPutOff

#: ``put_off``: not begun, because this host lacked something (files, threads, memory). It says nothing about the
#: receiver, and does not count as an attempt.
Outcome = Literal["delivered", "failed", "gone", "refused_address", "put_off"]

#: How many bytes of an answer are read, and how many are kept for the log.
READ_LIMIT = 16 * 1024
KEEP_LIMIT = 2 * 1024

#: Characters of an attempt's error. It is masked before it is cut to this, so what is masked may be longer.
ERROR_LENGTH = 200
UNMASKED_LENGTH = 10 * ERROR_LENGTH


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What an attempt sends: these very bytes to this URL, signed with each of the secrets."""

    url: str = field(repr=False)  # its query may hold a token
    secrets: tuple[str, ...] = field(repr=False)
    event_id: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may authorise
    trace: str | None = field(default=None, repr=False)  #: the trace that it belongs to (``domain/trace.py``)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt.

    ``status`` is the HTTP status where one arrived, ``answer`` the first 2 KiB of its body, ``error`` one line
    ``<kind>: <what>`` with kind one of address, busy, dns, connect, tls, timeout, reset, protocol, redirect, status.
    ``retry_after_seconds`` (0..86400) is what a 429 or 503 asked for.
    """

    outcome: Outcome
    status: int | None
    latency_ms: int
    answer: bytes = field(repr=False)
    error: str | None
    retry_after_seconds: float | None = None


def read_status(status: int) -> tuple[Outcome, str | None]:
    """The outcome of a complete answer: only 2xx is success, redirects are not followed, 410 is final."""
    if 200 <= status < 300:
        return "delivered", None
    if status == 410:
        return "gone", "status: 410, the receiver wants no more"
    if 300 <= status < 400:
        return "failed", f"redirect: {status}, redirects are not followed"
    return "failed", f"status: {status}"


def read_error(error: BaseException, connect_seconds: float, total_seconds: float) -> tuple[Outcome, str]:
    """The outcome of an exchange that broke, and the line for it. All causes count: the outermost error may mislead."""
    outcome, line = _read_causes(list(_causes_of(error)), connect_seconds, total_seconds)
    return outcome, one_line(line, UNMASKED_LENGTH)


def _read_causes(causes: list[BaseException], connect_seconds: float, total_seconds: float) -> tuple[Outcome, str]:
    refusal = next((cause for cause in causes if isinstance(cause, AddressRefused)), None)
    if refusal is not None:
        return "refused_address", f"address: {refusal}"
    lack = next((cause for cause in causes if _is_ours(cause)), None)
    if lack is not None:
        return "put_off", f"busy: {lack}"
    lines = (_line_of(cause, causes, connect_seconds, total_seconds) for cause in causes)
    known = next((line for line in lines if line is not None), None)
    return "failed", known or f"protocol: {type(causes[0]).__name__}: {causes[0]}"


def _line_of(
    cause: BaseException, causes: list[BaseException], connect_seconds: float, total_seconds: float
) -> str | None:
    match cause:
        case ConnectTimedOut():
            return f"connect: no connection within {connect_seconds:g} s"
        case TimeoutError() | asyncio.CancelledError():
            return f"timeout: no complete answer within {total_seconds:g} s"
    fault = fault_of(cause)
    return None if fault is None else f"{fault.kind}: {_detail_of(cause, causes) or fault.words}"


def _detail_of(cause: BaseException, causes: list[BaseException]) -> str:
    """What the look-up, the system or OpenSSL says; the line is masked before it is kept."""
    match cause:
        case NameFailed():
            return str(cause.__cause__)
        case HandshakeFailed() | ssl.SSLError():
            return _tls_detail(causes)
        case ConnectFailed():
            return _system_words(cause.__cause__)
        case NotHttp() | Unsendable():
            return str(cause)
    return ""


def _system_words(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)  # asyncio's own text repeats the address
    return os.strerror(number) if number else str(error)


def _is_ours(cause: BaseException) -> bool:
    return isinstance(cause, LookupPutOff) or (isinstance(cause, OSError) and cause.errno in OUT_OF_RESOURCES)


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _tls_detail(causes: list[BaseException]) -> str:
    """OpenSSL's own words."""
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return str(getattr(cause, "verify_message", "") or cause.reason or cause)
    return str(causes[0])
