"""One parser a kind of setting; each raises ValueError that says what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import SecretStr

from config.secret_key import check_keys
from config.web import read_claim, read_issuer
from domain.account import MAX_LIFETIME_MINUTES
from domain.money import AmountError, parse_amount


def read_text(value: object) -> str:
    """A text of one line."""
    if not isinstance(value, str) or not value or any(ord(character) < 32 for character in value):
        raise ValueError("must be a text without control characters")
    os.fsencode(value)  # a UnicodeEncodeError is a ValueError: half of a surrogate pair is no text
    return value


def home(value: object, environ: Mapping[str, str]) -> Path:
    """A folder, as an absolute path."""
    text = read_text(value)
    if "?" in text:
        raise ValueError("must be a folder without ? in its path")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # ~somebody: no such user
        raise ValueError("must be a folder: nobody knows where its ~ is") from None


def url(check: Callable[[str], str]) -> Callable[[object, Mapping[str, str]], str]:
    """An address that ``check`` takes."""

    def parse(value: object, environ: Mapping[str, str]) -> str:
        return check(read_text(value))

    return parse


def whole(low: int, high: int) -> Callable[[object, Mapping[str, str]], int]:
    """A whole number."""

    def parse(value: object, environ: Mapping[str, str]) -> int:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def minutes(value: object, environ: Mapping[str, str]) -> Decimal:
    """A number of minutes; may be a decimal."""
    try:
        found = parse_amount(value)
    except AmountError:
        found = Decimal(-1)
    if not 0 <= found <= MAX_LIFETIME_MINUTES:
        raise ValueError(f"must be a number of minutes from 0 to {MAX_LIFETIME_MINUTES}")
    return found


def one_of(*words: str) -> Callable[[object, Mapping[str, str]], str]:
    """One of these words, in any case."""

    def parse(value: object, environ: Mapping[str, str]) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return value.lower()

    return parse


def stream(value: object, environ: Mapping[str, str]) -> str:
    """The name of a stream."""
    if len(read_text(value)) > 200:
        raise ValueError("must be at most 200 characters")
    return str(value)


def keys(value: object, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Keys of 32 bytes, the newest first."""
    if not isinstance(value, str):
        raise ValueError("must be a text: 32 bytes in URL-safe base64 (comma-separated, the newest first)")
    return check_keys(value) if value else ()


def checked(check: Callable[[object], object]) -> Callable[[object, Mapping[str, str]], object]:
    """A parser that does not read the environment."""
    return lambda value, _environ: check(value)


def issuer(value: object, environ: Mapping[str, str]) -> str:
    """An OIDC issuer's address."""
    return read_issuer(read_text(value))


def claim(value: object, environ: Mapping[str, str]) -> str:
    """A claim's name."""
    return read_claim(read_text(value))


def word(value: object, environ: Mapping[str, str]) -> str:
    """A text of at most 500 characters."""
    if len(read_text(value)) > 500:
        raise ValueError("must be at most 500 characters")
    return str(value)


def secret(value: object, environ: Mapping[str, str]) -> SecretStr:
    """The same, never shown."""
    return SecretStr(word(value, environ))
