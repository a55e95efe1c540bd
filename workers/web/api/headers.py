"""Reads headers of requests: ``Idempotency-Key``, ``Prefer``, ``If-Match``, ``If-None-Match``, ``traceparent``."""

from __future__ import annotations

import re

from starlette.requests import Request

from domain.trace import read_trace
from workers.web.problems import Problem

MAX_WAIT_SECONDS = 30

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?", re.ASCII)
_STRONG_TAG = re.compile(r'(?<!W/)"([^"]*)"')
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def idempotency_key(request: Request) -> str | None:
    """The key, which may be in quotes like a structured field's string. Raises Problem 400."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    try:
        text = given[0].encode("latin-1").decode().strip()
    except UnicodeDecodeError:
        raise Problem(400, "Idempotency-Key: is not UTF-8") from None
    if text.startswith('"'):
        found = _QUOTED.fullmatch(text)
        text = "" if found is None else re.sub(r"\\(.)", r"\1", found[1])
    if len(given) > 1 or not text:
        raise Problem(400, "Idempotency-Key: must be one text, with or without quotes")
    return text


def trace_of(request: Request) -> str | None:
    """The trace that the request belongs to; None where it names none, several, or a bad one."""
    given = request.headers.getlist("traceparent")
    if len(given) != 1:
        return None
    return read_trace(given[0], ",".join(request.headers.getlist("tracestate")))


def preferred_wait(request: Request) -> int | None:
    """Seconds of ``Prefer: wait=N``, at most ``MAX_WAIT_SECONDS``. None without one, or where N is no number."""
    for header in request.headers.getlist("prefer"):
        for wish in header.split(","):
            found = _WAIT.fullmatch(wish.partition(";")[0].strip().lower())
            if found:
                return min(int(found[1]), MAX_WAIT_SECONDS)
    return None


def entity_tag(sequence: int) -> str:
    """An invoice's ETag."""
    return f'"{sequence}"'


def matches(header: str, sequence: int) -> bool:
    """Whether ``If-Match`` or ``If-None-Match`` names this sequence."""
    return header.strip() == "*" or str(sequence) in _TAG.findall(header)


def expected_sequences(request: Request) -> frozenset[int] | None:
    """The sequences that ``If-Match`` names; None: any. A tag that is not ours matches nothing."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    tags = _STRONG_TAG.findall(header)
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdecimal() and len(tag) < 19)
