"""JSON whose numbers keep their digits: decimals are read from the text itself and written back unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from operator import attrgetter, itemgetter
from typing import Any

import simplejson

from domain.money import format_amount

#: Longer whole numbers become a Decimal: Python refuses to make an int of too many digits.
LONGEST_INT = 1000


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) <= LONGEST_INT else Decimal(text)


# Made once: simplejson's functions make them anew for each call, which takes longer than a small document.
_READER = simplejson.JSONDecoder(parse_float=Decimal)
_WRITER, _SORTING_WRITER = (
    simplejson.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)
    for sort_keys in (False, True)
)


class JsonError(ValueError):
    """The text is no JSON, or is nested too deeply."""


class NameTwice(JsonError):  # noqa: N818 - reads as what is the matter
    """A name stands twice in an object: whoever reads it may take either value."""


def read_json(text: str | bytes) -> Any:
    """Parse JSON; numbers with a point or exponent become Decimal, others int (to 4,300 digits). Raises JsonError."""
    try:
        return _read(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise JsonError(f"is not JSON: {_why(error)}") from None


def _read(text: str) -> Any:
    """As ``_READER.decode``, but without looking for white space and a byte order mark first: few texts have any."""
    if text[:1] in {"{", "["}:
        value, end = _READER.scan_once(text, 0)
        if end == len(text) or not text[end:].strip(" \t\n\r"):
            return value
    return _READER.decode(text)


def read_strict_json(text: bytes) -> Any:
    """Parse a document that decides about money: UTF-8 without a byte order mark, each name only once in its object, no
    NaN. Very long whole numbers become Decimal, too. Raises JsonError."""
    if text.startswith(b"\xef\xbb\xbf"):  # the parser would skip it
        raise JsonError("is not JSON: it begins with a byte order mark")
    try:
        return _STRICT_READER.decode(text.decode())
    except NameTwice:
        raise
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise JsonError(f"is not JSON: {_why(error)}") from None


def _why(error: Exception) -> str:
    """The reason in plain words, without a part of the text: it may hold secrets. (The parser's words only have a
    position.)"""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, ArithmeticError):
        return "a number has too large an exponent"
    words = str(error)
    return "a number has too many digits" if words.startswith("Exceeds the limit") else words[:120]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NameTwice("is not JSON: a name stands twice in an object")
    return found


def _refuse_constant(word: str) -> object:
    raise ValueError("NaN and Infinity are no numbers")


_STRICT_READER = simplejson.JSONDecoder(
    parse_float=Decimal, parse_int=_whole, object_pairs_hook=_unique, parse_constant=_refuse_constant
)


def write_json(value: object, *, sort_keys: bool = False) -> str:
    """Serialise compactly; a Decimal becomes a JSON number with exactly its digits."""
    try:
        return _written(value, sort_keys)
    except (TypeError, RecursionError):  # names that are no texts, or too many levels for Python
        return _writer(sort_keys).encode(value)


def _written(value: Any, sort_keys: bool) -> str:
    """As simplejson writes it, in a third of the time: that makes an encoder anew for each document. It writes lists,
    and whatever else there is, whole."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict:
        parts = [
            f"{encode_basestring(name)}:{encode_basestring(one) if type(one) is str else _written(one, sort_keys)}"
            for name, one in _in_order(value.items(), sort_keys)
        ]
        return f"{{{','.join(parts)}}}"
    write = _PLAIN.get(kind)
    return _writer(sort_keys).encode(value) if write is None else write(value)


def _in_order(pairs: Iterable[tuple[str, object]], sort_keys: bool) -> Iterable[tuple[str, object]]:
    return sorted(pairs, key=itemgetter(0)) if sort_keys else pairs


def _writer(sort_keys: bool) -> simplejson.JSONEncoder:
    return _SORTING_WRITER if sort_keys else _WRITER


def _decimal(value: Decimal) -> str:
    return str(value) if value.is_finite() else _WRITER.encode(value)  # raises ValueError


_PLAIN: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    Decimal: _decimal,
    simplejson.RawJSON: attrgetter("encoded_json"),
}


def number(amount: Decimal) -> simplejson.RawJSON:
    """A JSON number with every digit of ``amount`` and never an exponent (``str(Decimal)`` may write one)."""
    return simplejson.RawJSON(format_amount(amount))


def raw(text: str) -> simplejson.RawJSON:
    """JSON text that is to be embedded as it is."""
    return simplejson.RawJSON(text)
