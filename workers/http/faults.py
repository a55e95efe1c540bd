"""What each way of breaking is called: one table for calls of providers and for webhooks."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Literal

from workers.http.errors import (
    BrokenOff,
    CertificateRefused,
    ClosedEarly,
    ConnectFailed,
    ConnectTimedOut,
    HandshakeFailed,
    NameFailed,
    NotHttp,
    Unsendable,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """``words`` are ours: an exception's own text may quote an address or a header."""

    kind: Literal["dns", "connect", "tls", "reset", "protocol"]
    words: str


#: The first match counts.
_FAULTS: tuple[tuple[type[BaseException], Fault], ...] = (
    (NameFailed, Fault("dns", "the name did not resolve")),
    (CertificateRefused, Fault("tls", "the certificate was not accepted")),
    (HandshakeFailed, Fault("tls", "the TLS handshake failed")),
    (ssl.SSLError, Fault("tls", "the TLS connection failed")),
    (ConnectTimedOut, Fault("connect", "the connection was not made in time")),
    (ConnectFailed, Fault("connect", "the connection failed")),
    (Unsendable, Fault("protocol", "the URL or a header can't be sent")),
    (ClosedEarly, Fault("reset", "the connection was closed before an answer came")),
    (BrokenOff, Fault("protocol", "the answer broke off")),
    (NotHttp, Fault("protocol", "the answer is not HTTP")),
    (ConnectionError, Fault("reset", "the connection was reset")),
    (OSError, Fault("reset", "the connection was lost")),
)


def fault_of(error: BaseException) -> Fault | None:
    """What an exception of the wire, or of the system below it, is called; None for any other."""
    return next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None)
