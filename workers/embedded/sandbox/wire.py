"""JSON in and out: bounded, and with every digit of its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import simplejson
from aiohttp import web

#: The largest body that is read; a larger one is answered 413.
MAX_BODY_BYTES = 64 * 1024

#: Characters of a text field.
MAX_TEXT = 255

#: The largest body whose fields are kept with the invoice; of a larger one only what the answer needs is kept.
MAX_KEPT_BYTES = 4 * 1024

#: Simplejson writes this object's text unchanged, so a number keeps every digit.
RawJSON = simplejson.RawJSON

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class InputError(Exception):
    """The input can't be used. The message is one line that names the field."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Digits(str):
    """A JSON number with a fraction or an exponent, as it was written."""

    __slots__ = ()


@dataclass(slots=True)
class Answer:
    """An answer before it is sent: HTTP status, JSON payload, extra headers."""

    status: int
    payload: object
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return write_json(self.payload)

    def response(self) -> web.Response:
        return web.Response(
            status=self.status, text=self.text(), content_type="application/json", headers=dict(self.headers)
        )


def write_json(payload: object) -> str:
    """JSON text in ASCII; `RawJSON` values are copied unchanged."""
    text: str = simplejson.dumps(payload)
    return text


async def read_object(request: web.Request, *, optional: bool = False) -> dict[str, object]:
    """The request's body as a dict; fractions become `Digits`. Raises InputError (400, or 413 when too large).

    An empty body is `{}` when `optional`.
    """
    raw = await read_bytes(request)
    if optional and not raw:
        return {}
    return parse_object(raw)


async def read_bytes(request: web.Request) -> bytes:
    """The request's body. Raises InputError (413) when it is larger than MAX_BODY_BYTES."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise InputError(f"body: is larger than {MAX_BODY_BYTES} bytes", 413) from None


def parse_object(raw: bytes) -> dict[str, object]:
    """A JSON object's fields. Raises InputError when it is anything else."""
    try:
        value = simplejson.loads(raw.decode("utf-8"), parse_float=Digits)
    except (ValueError, RecursionError):
        raise InputError("body: is not JSON") from None
    if not isinstance(value, dict):
        raise InputError("body: is not a JSON object")
    return value


def is_number(text: str) -> bool:
    """Whether the text is a number as JSON writes it."""
    return len(text) <= 100 and _NUMBER.fullmatch(text) is not None


def take_text(fields: Mapping[str, object], name: str, *, default: str | None = None) -> str:
    """A text field. Raises InputError when it is missing (and has no default), empty, or no text."""
    value = fields.get(name, default)
    if value is None:
        raise InputError(f"{name}: is required")
    if not isinstance(value, str) or isinstance(value, Digits) or not value:
        raise InputError(f"{name}: must be a text that is not empty")
    if len(value) > MAX_TEXT:
        raise InputError(f"{name}: must have at most {MAX_TEXT} characters")
    return value


def take_choice(fields: Mapping[str, object], name: str, allowed: tuple[str, ...]) -> str:
    """A text field with one of the allowed words. Raises InputError."""
    value = take_text(fields, name)
    if value not in allowed:
        raise InputError(f"{name}: must be one of {', '.join(allowed)}")
    return value


def take_number(
    fields: Mapping[str, object], name: str, low: float, high: float, default: float | None = None
) -> float:
    """A number within [low, high]. It becomes a float: not for money. Raises InputError."""
    value = fields.get(name)
    if value is None:
        value = default
    if value is None:
        raise InputError(f"{name}: is required")
    if isinstance(value, bool) or not isinstance(value, int | float | Digits):
        raise InputError(f"{name}: must be a number")
    # Compared before it becomes a float: an integer of a thousand digits would not fit.
    number = value if isinstance(value, int) else float(value)
    if not low <= number <= high:
        raise InputError(f"{name}: must be from {low:g} to {high:g}")
    return float(number)


def take_whole(fields: Mapping[str, object], name: str, low: int, high: int, default: int | None = None) -> int:
    """A whole number within [low, high]. Raises InputError."""
    number = take_number(fields, name, low, high, default)
    if number != int(number):
        raise InputError(f"{name}: must be a whole number")
    return int(number)


def take_flag(fields: Mapping[str, object], name: str) -> bool:
    """true or false; false when missing. Raises InputError."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name}: must be true or false")
    return value


def keep_fields(request: web.Request, fields: Mapping[str, object], *secret: str) -> dict[str, object]:
    """A request's fields to keep and show, without the secret ones; numbers keep every digit. `{}` when it is large."""
    if (request.content_length or MAX_BODY_BYTES) > MAX_KEPT_BYTES:
        return {}
    return {
        name: RawJSON(value) if isinstance(value, Digits) else value
        for name, value in fields.items()
        if name not in secret
    }


def refuse_unknown(fields: Mapping[str, object], *known: str) -> None:
    """Raise InputError for a field that is not known: it would be ignored silently."""
    for name in fields:
        if name not in known:
            raise InputError(f"{name[:50]}: unknown field; known are {', '.join(known)}")
