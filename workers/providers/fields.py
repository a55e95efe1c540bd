"""Reads fields of a decoded answer: each is usable as it is, or None. Nothing here raises, and nothing is repaired."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from domain.money import AmountError, parse_amount

MAX_REF = 255
MAX_ORDER_ID = 255
MAX_ADDRESS = 255
MAX_URL = 2048
MAX_WORD = 64  #: of a network, a coin or a status
MAX_CURRENCY = 16
MAX_INSTANT = 40

#: The year 9000. Later is absurd, and a lifetime added to it must still fit into a datetime, which ends with 9999.
MAX_EPOCH_SECONDS = 221_845_392_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: What nearly every address is like. Others are read by ``urlsplit``, which takes five times as long.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]*[A-Za-z0-9](?::[0-9]{1,5})?(?:/[!-~]*)?")


def read_single(value: object) -> dict[str, object] | None:
    """An object, alone or as the only item of a list: the providers document "object/array"."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def read_text(value: object, limit: int) -> str | None:
    """A text, or a whole number as text, of 1 to ``limit`` printable characters.

    None for any other: it is never cut or cleaned, because a changed address or id would be a wrong one.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= limit or not value.isprintable() or not value.strip():
        return None
    return value


def read_currency(value: object, limit: int = MAX_CURRENCY) -> str | None:
    """A currency's or a coin's symbol, upper-case (0xhost writes ``EUR`` in one answer and ``eur`` in another)."""
    text = read_text(value, limit)
    return None if text is None else read_text(text.upper(), limit)


def read_url(value: object) -> str | None:
    """An http or https address that a customer can be sent to."""
    text = read_text(value, MAX_URL)
    if text is not None and _PLAIN_URL.fullmatch(text):
        return text
    try:
        parts = urlsplit(text or "")
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in (text or "")
    except ValueError:
        return None
    return text if usable else None


def read_amount(value: object) -> Decimal | None:
    """An amount greater than zero with every digit it was written with."""
    try:
        amount = parse_amount(value)
    except AmountError:
        return None
    return amount if amount > 0 else None


def read_paid(value: object) -> Decimal | None:
    """What is said to be paid; 0 for what is told and can't be paid, such as 0.00, -5, NaN, 1e400, true or a list, so
    that it counts against the payment. None: no amount is told, or words that are no number."""
    amount = read_amount(value)
    if amount is not None or value is None:
        return amount
    if isinstance(value, str):
        try:
            Decimal(value)
        except ArithmeticError:
            return None
    return Decimal(0)


def read_epoch(value: object) -> datetime | None:
    """Epoch seconds as a UTC time. None for anything but a number, and outside of 1970 to 9000."""
    seconds = read_amount(value)
    if seconds is None or seconds > MAX_EPOCH_SECONDS:
        return None
    whole = int(seconds)
    return _EPOCH + timedelta(seconds=whole, microseconds=int((seconds - whole) * 1_000_000))


def read_instant(value: object) -> datetime | None:
    """An RFC 3339 time, in UTC. None for anything else, for a time without a zone, and outside of 1970 to 9000."""
    if not isinstance(value, str) or len(value) > MAX_INSTANT:
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        if time.tzinfo is None or not _EPOCH.year <= time.year < 9000:
            return None
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
