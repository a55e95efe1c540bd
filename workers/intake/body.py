"""The body of a message: read within bounds, or why it can't be."""

from __future__ import annotations

import re

from domain.exact_json import JsonError, read_json
from domain.json_size import holds_more_values, opens_more
from workers.transport.message_limits import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_MANY_BODY_BYTES,
    MAX_MANY_VALUES,
    MAX_VALUES,
)

_DEEP = re.compile(rb"(?:\s*[\[{]){%d}" % (MAX_DEPTH + 1))
_ENCODINGS = {"", "utf-8", "utf8", "us-ascii", "ascii", "binary"}


class Unusable(Exception):  # noqa: N818 - reads as what was found
    """Why a message can't be used; one line that names the part."""


def check_content(content_type: object, content_encoding: object) -> None:
    """Raises Unusable for anything but JSON in UTF-8."""
    if not isinstance(content_type, str) or content_type.partition(";")[0].strip().lower() != "application/json":
        shown = clean(content_type)[:60] if isinstance(content_type, str) else "nothing"
        raise Unusable(f"content-type: must be application/json, not {shown}")
    if content_encoding is not None and (
        not isinstance(content_encoding, str) or content_encoding.strip().lower() not in _ENCODINGS
    ):
        raise Unusable("content-encoding: must be utf-8")


def parse_body(body: object, task: str | None, *, of_many: str) -> object:
    """The JSON of a body within its bounds. ``of_many``: the task whose bodies may be larger. Raises Unusable."""
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes):
        raise Unusable("body: must be a text")
    # Protocol 1 names its task inside the body: until that is read only the largest bounds can be applied.
    many = task in (None, of_many)
    _check_size(body, MAX_MANY_BODY_BYTES if many else MAX_BODY_BYTES)
    _check_values(body, MAX_MANY_VALUES if many else MAX_VALUES)
    try:
        document = read_json(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unusable("body: is not UTF-8") from None
    except JsonError as error:
        raise Unusable(f"body: {error}") from None
    if task is None and isinstance(document, dict) and document.get("task") != of_many:
        _check_size(body, MAX_BODY_BYTES)
        _check_values(body, MAX_VALUES)
    if opens_more(body, MAX_DEPTH):
        _check_depth(document)
    return document


def _check_size(body: bytes, limit: int) -> None:
    if len(body) > limit:
        raise Unusable(f"body: is {len(body)} bytes, at most {limit} are taken")


def _check_values(body: bytes, limit: int) -> None:
    """Before parsing: the work and the memory of the parser, and all later work, grow with the number of values."""
    if not holds_more_values(body, limit):
        return
    if _DEEP.match(body):
        raise Unusable("body: is nested too deeply")
    raise Unusable(f"body: holds more than {limit} values")


def _check_depth(document: object) -> None:
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Unusable(f"body: is nested more than {MAX_DEPTH} deep")
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]


def check_text(text: str) -> None:
    """Raises Unusable for half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unusable("body: holds half of a surrogate pair, which is no text") from None


def clean(text: str) -> str:
    """The text as every database takes it: without NUL and unpaired surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def body_text(body: object) -> str:
    """A body of any type, as text to be shown."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body).decode("utf-8", "replace")
    if isinstance(body, str):
        return body
    try:
        return repr(body)
    except RecursionError:
        return f"({type(body).__name__}, nested too deeply to be shown)"
