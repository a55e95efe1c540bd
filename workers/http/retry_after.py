"""How long a ``Retry-After`` header asks us to wait, a provider's or a receiver's."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from domain.schedule import bounded_wait

LONGEST_DATE = 64  #: characters


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds, within ``RETRY_AFTER_LIMIT``, from either form of the header (RFC 9110, 10.2.3); None for anything
    else. ``now`` is aware."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return bounded_wait(float(text[:12]))
    if not text or len(text) > LONGEST_DATE:
        return None
    try:
        until = parsedate_to_datetime(text)
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)  # "-0000": UTC of unknown origin
        return bounded_wait((aware - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
