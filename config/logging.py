"""Logs: a JSON object or a console line for each event, ours and the libraries', with no secret in any of them."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, TextIO, cast

import structlog
from pydantic import SecretBytes, SecretStr

from config.urls import may_need_redaction, redact_url
from domain.masking import HIDDEN, Mask, usual_forms
from domain.visible import escape, escape_all

#: A value is never shown if its key, in lower case and without ``-``, ``_``, ``.`` and spaces, ends with one of these.
SECRET_KEYS = (
    "apikey",
    "authorization",
    "cookie",
    "password",
    "passwd",
    "privatekey",
    "secret",
    "secretkey",
    "secretkeys",
    "secrets",
    "signature",
    "signatures",
    "token",
)
#: Hiding shorter values would black out ordinary words.
MIN_SECRET_LENGTH = 6
MAX_DEPTH = 8
#: Values of exactly these types are shown as they are; a subclass may show itself in another way.
PLAIN = frozenset({str, int, float, bool, type(None)})

#: Loggers that tell of every single message or tick, with the level from which they are useful.
QUIET = {
    "celery.app.trace": logging.WARNING,
    "celery.beat": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "aiohttp": logging.WARNING,
    "kombu": logging.WARNING,
    "alembic": logging.WARNING,
    "uvicorn": logging.WARNING,
}


def configure_logging(log_format: str | None = None, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's events and the standard library's records to one stream, redacted.

    ``log_format`` is ``console``, ``json``, or None: ``console`` if the stream (default: stderr) is a terminal.
    """
    out = sys.stderr if stream is None else stream
    first: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _stamp,
    ]
    last: list[structlog.typing.Processor] = [
        ErrorRenderer(tracebacks=level == "debug"),
        redact,
        _renderer(log_format, out),
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(first, last))
    _install(handler, level)
    lines = _Lines(out)
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,  # tests, and processes that read their settings late, configure again
    )


def _formatter(first: list[structlog.typing.Processor], last: list[structlog.typing.Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


class _Lines:
    """Writes our own events to the stream. Through the standard library each would cost twice as much."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        """Write a whole line. A log that can't be written (a full disk, a closed pipe) stops no work."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(f"{line}\n")
            self._out.flush()

    debug = info = warning = error = critical = msg


def _install(handler: logging.Handler, level: str) -> None:
    """Make it the only handler of the standard library's root logger, and turn down the talkative loggers."""
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else quiet)
    logging.captureWarnings(True)


def register_secrets(values: Iterable[str]) -> None:
    """Hide these values in every text, escaped or encoded ones too. Values of less than 6 characters are ignored."""
    _REGISTER.add(values)


def hide_secrets(text: str) -> str:
    """The text with ``***`` in place of every registered secret, and of what is secret in addresses."""
    return _REGISTER.hide(redact_url(text))


class ErrorRenderer:
    """Turns ``exc_info`` into ``error`` (one line) and ``exc_type``.

    The traceback is added at level debug, for critical records, and if the event asks for it (``traceback=True``).
    """

    def __init__(self, *, tracebacks: bool) -> None:
        self._tracebacks = tracebacks

    def __call__(self, logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        asked = bool(event.pop("traceback", False))
        if "exc_info" not in event:
            return event
        wanted = asked or self._tracebacks or event.get("level") == "critical"
        found = _exception(event.pop("exc_info"))
        if found is None:
            return event
        event.setdefault("error", " ".join(str(found).split())[:2000])
        event["exc_type"] = type(found).__name__
        if wanted:
            formatter = structlog.processors.format_exc_info
            event["exception"] = formatter(logger, method, {"exc_info": found})["exception"]
        else:
            event.pop("exception", None)
        return event


def _stamp(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    seconds, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    event["at"] = f"{_second(seconds)}.{microseconds:06d}Z"
    return event


@functools.lru_cache(16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[: -len("+00:00")]


def redact(logger: object, method: str, event: structlog.typing.EventDict) -> Mapping[str, object]:
    """Rebuild the event from plain values, with ``***`` in place of every secret."""
    return event if _is_harmless(event) else cast("Mapping[str, object]", _clean(dict(event), 0))


def redact_value(value: object) -> object:
    """A copy made of JSON's own types, with ``***`` in place of every secret."""
    return _clean(value, 0)


# --- redaction ----------------------------------------------------------------------------------------------------


class _Register:
    """Known secret values."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._known: tuple[str, ...] = ()  #: their usual forms in a text; replaced whole, so readers take no lock
        self._mask = Mask(())

    def add(self, values: Iterable[str]) -> None:
        with self._lock:
            for value in values:
                if len(value) >= MIN_SECRET_LENGTH:
                    self._values.add(value)
            self._known = tuple({form for value in self._values for form in usual_forms(value)})
            self._mask = Mask(self._values)

    def finds(self, text: str) -> bool:
        return any(map(text.__contains__, self._known))  # one pattern of them all takes four times as long

    def hide(self, text: str) -> str:
        return self._mask.hide(text) if self.finds(text) else text


#: Kept for the life of the process: a value that was secret once stays secret.
_REGISTER = _Register()


def _is_harmless(event: structlog.typing.EventDict) -> bool:
    """Whether rebuilding would change nothing, as for nearly every line. One look at all texts together costs a fifth
    of a look at each."""
    if not PLAIN.issuperset(map(type, event.values())) or _name_secrets(tuple(event)):
        return False
    text = "\0".join([*event, *[value for value in event.values() if type(value) is str]])
    return not (may_need_redaction(text) or _REGISTER.finds(text))


def _clean(value: object, depth: int) -> object:
    """A copy made of JSON's own types. Anything else in it becomes a text, redacted like any text."""
    if isinstance(value, str):  # first, because nearly all values are
        return hide_secrets(str(value))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (SecretStr, SecretBytes)):
        return HIDDEN
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {hide_secrets(str(key)): _entry(key, content, depth) for key, content in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_clean(item, depth + 1) for item in value]
    return hide_secrets(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _entry(key: object, content: object, depth: int) -> object:
    return HIDDEN if content is not None and _names_secret(str(key)) else _clean(content, depth + 1)


@functools.lru_cache(1024)
def _name_secrets(keys: tuple[str, ...]) -> bool:
    return any(map(_names_secret, keys))


@functools.lru_cache(1024)
def _names_secret(key: str) -> bool:
    return re.sub(r"[-_. ]", "", key).lower().endswith(SECRET_KEYS)


# --- rendering ----------------------------------------------------------------------------------------------------

_ENCODER = json.JSONEncoder(ensure_ascii=False)  #: comes after ``redact``, so every value is plain


def _number(value: float) -> str:
    return repr(value) if isfinite(value) else _ENCODER.encode(value)


#: How values of these types are written. The encoder, which makes its own encoder anew for each text, takes the others.
_WRITERS: Mapping[type, Callable[[Any], str]] = {
    int: int.__repr__,
    float: _number,
    type(None): lambda _: "null",
}


def json_line(event: Mapping[str, object]) -> str:
    """What the encoder would write of plain values, in half of the time."""
    values = [encode_basestring(one) if type(one) is str else _written(one) for one in event.values()]
    return _template(tuple(event)) % tuple(values)


@functools.lru_cache(1024)
def _template(names: tuple[str, ...]) -> str:
    """The line of an event with these names, without its values: few lines have others than one before."""
    return f"{{{', '.join(f'{encode_basestring(name)}: '.replace('%', '%%') + '%s' for name in names)}}}"


def _written(value: object) -> str:
    return _WRITERS.get(type(value), _ENCODER.encode)(value)


def _renderer(log_format: str | None, out: TextIO) -> structlog.typing.Processor:
    terminal = out.isatty()
    if log_format == "console" or (log_format is None and terminal):
        draw = structlog.dev.ConsoleRenderer(colors=terminal, timestamp_key="at")
        return lambda logger, method, event: draw(
            logger, method, {escape_all(k): _visible(v) for k, v in event.items()}
        )
    return lambda _logger, _method, event: escape(json_line(event))


def _visible(value: object) -> object:
    """A value for the console: everything that could control a terminal is escaped. Colours are the renderer's own."""
    if isinstance(value, str):
        return escape_all(value)
    return value if value is None or isinstance(value, (bool, int, float)) else escape_all(repr(value))


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 and isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None
