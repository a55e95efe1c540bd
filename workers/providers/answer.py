"""What came back from a call, and what every provider's HTTP statuses mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import simplejson

from domain.evidence import CreateAnswer, CredentialsRefused, InDoubt, OrderRefused, RateLimited, Unreachable
from domain.exact_json import JsonError, read_json

#: Bytes of an answer that are kept as evidence.
MAX_RAW_BYTES = 16 * 1024

#: Characters of a reason: one line, shown to the shop.
MAX_REASON = 300

#: A longer Retry-After is cut to a day: beyond that it is a mistake, and dates would overflow.
MAX_RETRY_AFTER_SECONDS = 86_400.0

#: The key, not the order, was refused (Nebulox documents 406; the others are HTTP's own words).
CREDENTIAL_STATUSES = frozenset({401, 403, 406})

#: 4xx that do not say "read and refused": a time-out on the server's side, and "too early, perhaps later".
DOUBTFUL_STATUSES = frozenset({408, 425})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No whole answer came. ``never_sent``: certainly nothing of the request was received. ``reason``: one line."""

    never_sent: bool
    reason: str
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, at most 1 MiB. ``secrets`` are what must not be quoted from it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_at: datetime
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def succeeded(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body, numbers digit for digit; None where it is no JSON."""
        try:
            return read_json(self.body)
        except JsonError:
            return None

    def raw(self) -> str:
        """The body's text fit to be stored: no secrets, no NUL characters, at most 16 KiB."""
        return self.keep(self.body.decode("utf-8", "replace"))

    def keep(self, text: str) -> str:
        """Any text of the answer, made fit to be stored."""
        # Secrets go first: a cut could leave half of one standing where it is no longer recognised.
        safe = redact(text, self.secrets).replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return safe.encode("utf-8", "replace")[:MAX_RAW_BYTES].decode("utf-8", "ignore")

    def reason(self, *words: str) -> str:
        """``HTTP 406: This gateway is not active``: the status, then what is known beyond it, on one line."""
        said = [one_line(redact(word, self.secrets)) for word in words]
        return ": ".join([f"HTTP {self.status}", *(word for word in said if word)])[:MAX_REASON]


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Replace every secret by ``***``, also as JSON, PHP's JSON and URLs spell it."""
    for secret in secrets:
        for spelling in _spellings(secret):
            text = text.replace(spelling, "***")
    return text


@functools.lru_cache(256)
def _spellings(secret: str) -> list[str]:
    """Longest first."""
    escaped = simplejson.dumps(secret)[1:-1]
    return sorted({secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe="")}, key=len, reverse=True)


def one_line(text: str) -> str:
    """Printable characters only (no NUL, no lone surrogates, no line breaks), single spaces, bounded."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_REASON])
    return " ".join(printable.split())[:MAX_REASON]


def read_message(payload: Any) -> str:
    """The provider's own words: ``message`` or ``error``, a text or a list of texts; empty when there are none."""
    if not isinstance(payload, dict):
        return ""
    for name in ("message", "error"):
        said = payload.get(name)
        words = said if isinstance(said, list) else [said]
        texts = [word for word in words[:5] if isinstance(word, str) and word.strip()]
        if texts:
            return ", ".join(texts)
    return ""


def read_create(outcome: Answer | Failure, read_made: Callable[[Answer], CreateAnswer]) -> CreateAnswer:
    """What a create's outcome means whoever the provider is; a 2xx is left to ``read_made``, its adapter's reader.

    A 4xx was read and refused. Everything that is neither a 2xx nor a 4xx (3xx included) is in doubt.
    """
    if isinstance(outcome, Failure):
        kind = Unreachable if outcome.never_sent else InDoubt
        return kind(reason=outcome.reason, asked_at=outcome.asked_at)
    if outcome.succeeded:
        return read_made(outcome)
    refusal = read_refusal(outcome)
    if refusal is not None:
        return refusal
    if 400 <= outcome.status < 500 and outcome.status not in DOUBTFUL_STATUSES:
        return refuse_order(outcome, outcome.json())
    return doubt(outcome, read_message(outcome.json()))


def read_refusal(answer: Answer) -> CredentialsRefused | RateLimited | None:
    """Statuses that are about the account and not about the invoice."""
    if answer.status not in CREDENTIAL_STATUSES and answer.status != 429:
        return None
    reason = answer.reason(read_message(answer.json()))
    if answer.status in CREDENTIAL_STATUSES:
        return CredentialsRefused(reason=reason, asked_at=answer.asked_at, raw=answer.raw())
    wait = read_retry_after(answer.headers.get("retry-after"), answer.asked_at)
    return RateLimited(reason=reason, retry_after_seconds=wait, asked_at=answer.asked_at, raw=answer.raw())


def refuse_order(answer: Answer, payload: Any) -> OrderRefused:
    """The provider read the order and does not want it."""
    reason = answer.reason(read_message(payload) or "the order was refused")
    return OrderRefused(reason=reason, asked_at=answer.asked_at, raw=answer.raw())


def doubt(answer: Answer, *words: str) -> InDoubt:
    """An answer that does not say what became of the order."""
    return InDoubt(reason=answer.reason(*words), asked_at=answer.asked_at, raw=answer.raw())


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, of either form the header may take (RFC 9110, 10.2.3); None when it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), MAX_RETRY_AFTER_SECONDS)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:  # "-0000": UTC of unknown origin
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)
