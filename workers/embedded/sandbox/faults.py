"""The faults that a stand-in can play, as a table, and how each is played on the wire."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

from aiohttp import web

from workers.embedded.sandbox.bounds import Bounds
from workers.embedded.sandbox.wire import Answer, InputError

#: The fields with times in providers' answers.
TIME_FIELDS = frozenset({"date", "expired_at", "created_at", "updated_at"})
#: The fields with a payment's transaction.
TRANSACTION_FIELDS = frozenset({"tx_hash", "txId"})

#: The longest that any fault holds a connection.
MAX_HOLD_SECONDS = 3600.0


@dataclass(slots=True)
class Turn:
    """One call to be answered badly.

    `act` does what was asked (makes the invoice) and gives the right answer; `earlier` gives the answer to another
    order's create, None when there was none; the others are what the provider answers in the named cases.
    """

    request: web.Request
    argument: float
    act: Callable[[], Answer]
    earlier: Callable[[], Answer | None]
    failed: Callable[[int, str], Answer]
    credentials_refused: Callable[[], Answer]
    order_refused: Callable[[], Answer]


#: Plays a fault; None when the connection was broken and there is nothing left to send.
Play = Callable[[Turn], Awaitable[web.StreamResponse | None]]


@dataclass(frozen=True, slots=True)
class Fault(Bounds):
    """What goes wrong with an answer."""

    play: Play


async def play_delay(turn: Turn) -> web.StreamResponse | None:
    await asyncio.sleep(turn.argument)
    return turn.act().response()


async def play_status(turn: Turn) -> web.StreamResponse | None:
    status = int(turn.argument)
    return turn.failed(status, f"Scripted fault {status}").response()


async def play_inactive(turn: Turn) -> web.StreamResponse | None:
    return turn.credentials_refused().response()


async def play_refused(turn: Turn) -> web.StreamResponse | None:
    return turn.order_refused().response()


async def play_rate_limited(turn: Turn) -> web.StreamResponse | None:
    answer = turn.failed(429, "Too Many Attempts.")
    answer.headers = {"Retry-After": str(int(turn.argument))}
    return answer.response()


async def play_accept_then_timeout(turn: Turn) -> web.StreamResponse | None:
    answer = turn.act()
    await asyncio.sleep(turn.argument)
    return answer.response()


async def play_accept_then_status(turn: Turn) -> web.StreamResponse | None:
    turn.act()
    return await play_status(turn)


async def play_truncated(turn: Turn) -> web.StreamResponse | None:
    answer = turn.act()
    body = answer.text().encode()
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(turn.request)
    await response.write(body[: len(body) // 2])
    if turn.request.transport is not None:
        turn.request.transport.close()
    return None


async def play_html(turn: Turn) -> web.StreamResponse | None:
    page = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"
    turn.act()
    return web.Response(status=int(turn.argument), text=page, content_type="text/html")


async def play_page(turn: Turn) -> web.StreamResponse | None:
    """A proxy's own page: the call never reached the provider."""
    status = int(turn.argument)
    title = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return web.Response(status=status, text=page + "<hr><center>nginx</center>\r\n", content_type="text/html")


async def play_challenge(turn: Turn) -> web.StreamResponse | None:
    """A firewall's page for browsers: the call never reached the provider."""
    page = '<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head><body></body></html>'
    headers = {"cf-mitigated": "challenge", "cf-ray": "8f1c2d3e4f5a6b7c-FRA"}
    return web.Response(status=int(turn.argument), text=page, headers=headers, content_type="text/html")


async def play_echo(turn: Turn) -> web.StreamResponse | None:
    """The provider refuses and quotes the request, with the key, in one of several forms."""
    request = turn.request
    sent = "\n".join([*(f"{name}: {value}" for name, value in request.headers.items()), "", await request.text()])
    return turn.failed(400, f"can't read: {ECHOES[int(turn.argument) % len(ECHOES)](sent)}").response()


#: The forms, by the fault's argument: plain, HTML, a URL's, base64, hexadecimal, JSON in JSON, each character escaped.
ECHOES: tuple[Callable[[str], str], ...] = (
    str,
    html.escape,
    lambda sent: quote(sent, safe=""),
    lambda sent: base64.b64encode(sent.encode()).decode(),
    lambda sent: sent.encode().hex(),
    lambda sent: json.dumps(json.dumps(sent)),
    lambda sent: "".join(f"\\u{ord(character):04x}" for character in sent),
)


async def play_reset(turn: Turn) -> web.StreamResponse | None:
    turn.act()
    transport = turn.request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # Without a linger time of 0 the kernel would close politely (FIN); with it the client sees a reset (RST).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return None


async def play_garbage(turn: Turn) -> web.StreamResponse | None:
    turn.act()
    if isinstance(turn.request.transport, asyncio.Transport):
        turn.request.transport.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        turn.request.transport.close()
    return None


async def play_duplicate(turn: Turn) -> web.StreamResponse | None:
    return (turn.earlier() or turn.act()).response()


async def play_clock_off(turn: Turn) -> web.StreamResponse | None:
    """The provider's clock is off, and so are all times in the answer: epoch seconds or RFC 3339."""
    answer = turn.act()
    for told in _objects(answer):
        for field in told.keys() & TIME_FIELDS:
            told[field] = _move(cast("int | str", told[field]), int(turn.argument))
    return answer.response()


def _move(time: int | str, seconds: int) -> int | str:
    if isinstance(time, int):
        return time + seconds
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def play_placeholder(turn: Turn) -> web.StreamResponse | None:
    """A placeholder where a transaction belongs, before there is one."""
    answer = turn.act()
    for told in _objects(answer):
        for field in told.keys() & TRANSACTION_FIELDS:
            told[field] = PLACEHOLDERS[int(turn.argument) % len(PLACEHOLDERS)]
    return answer.response()


#: By the fault's argument.
PLACEHOLDERS = ("0x" + "0" * 64, "pending", "N/A", "-", "")


async def play_new_word(turn: Turn) -> web.StreamResponse | None:
    """The provider answers a status that no document names."""
    answer = turn.act()
    for told in _objects(answer):
        if "status" in told:
            told["status"] = NEW_WORD
    return answer.response()


async def play_new_field(turn: Turn) -> web.StreamResponse | None:
    """The provider answers a field that no document names."""
    answer = turn.act()
    _objects(answer)[-1][NEW_FIELD] = "passed"
    return answer.response()


async def play_new_type(turn: Turn) -> web.StreamResponse | None:
    """Amounts are objects instead of numbers or texts."""
    answer = turn.act()
    for told in _objects(answer):
        for field in told.keys() & {"amount", "price"}:
            told[field] = {"value": told[field]}
    return answer.response()


#: A status and a field that no document names.
NEW_WORD, NEW_FIELD = "aml_hold", "aml_check"


def _objects(answer: Answer) -> list[dict[str, object]]:
    """The answer's payload and the objects in it and in its lists, to be changed; the innermost last."""
    whole = cast("dict[str, object]", answer.payload)
    parts = [one for part in whole.values() for one in (part if isinstance(part, list) else [part])]
    return [whole, *(part for part in parts if isinstance(part, dict) and part)]


async def play_not_json_object(turn: Turn) -> web.StreamResponse | None:
    return Answer(turn.act().status, ["this", "is", "no", "object"]).response()


async def play_endless(turn: Turn) -> web.StreamResponse | None:
    answer = turn.act()
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    await response.prepare(turn.request)
    for _ in range(int(MAX_HOLD_SECONDS / turn.argument)):
        # White space before a JSON value is legal: a reader can't know that no value will come.
        await response.write(b" ")
        await asyncio.sleep(turn.argument)
    return response


async def play_huge(turn: Turn) -> web.StreamResponse | None:
    answer = turn.act()
    size, text = int(turn.argument), answer.text()
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    response.content_length = size + len(text)
    await response.prepare(turn.request)
    chunk = b" " * 65536
    for start in range(0, size, len(chunk)):
        await response.write(chunk[: size - start])
    await response.write(text.encode())
    return response


#: Every fault by name. README.md says which of them make the invoice all the same.
FAULTS: dict[str, Fault] = {
    "delay": Fault(1, 0, MAX_HOLD_SECONDS, play_delay),
    "status": Fault(503, 400, 599, play_status),
    "inactive": Fault(0, 0, 0, play_inactive),
    "refused": Fault(0, 0, 0, play_refused),
    "rate_limited": Fault(1, 0, 86400, play_rate_limited),
    "accept_then_timeout": Fault(60, 0, MAX_HOLD_SECONDS, play_accept_then_timeout),
    "accept_then_status": Fault(503, 400, 599, play_accept_then_status),
    "truncated": Fault(0, 0, 0, play_truncated),
    "html": Fault(200, 200, 599, play_html),
    "page": Fault(404, 400, 499, play_page),
    "challenge": Fault(403, 403, 503, play_challenge),
    "echo": Fault(0, 0, len(ECHOES) - 1, play_echo),
    "reset": Fault(0, 0, 0, play_reset),
    "garbage": Fault(0, 0, 0, play_garbage),
    "duplicate": Fault(0, 0, 0, play_duplicate),
    "clock_off": Fault(-10800, -315_360_000, 315_360_000, play_clock_off),
    "placeholder": Fault(0, 0, len(PLACEHOLDERS) - 1, play_placeholder),
    "new_word": Fault(0, 0, 0, play_new_word),
    "new_field": Fault(0, 0, 0, play_new_field),
    "new_type": Fault(0, 0, 0, play_new_type),
    "not_json_object": Fault(0, 0, 0, play_not_json_object),
    "endless": Fault(0.1, 0.001, 60, play_endless),
    "huge": Fault(2 * 1024 * 1024, 1, 64 * 1024 * 1024, play_huge),
}


def find_fault(name: str) -> Fault:
    """The fault of that name. Raises InputError that lists the known ones."""
    fault = FAULTS.get(name)
    if fault is None:
        raise InputError(f"fault: {name[:50]!r} is unknown; known are {', '.join(FAULTS)}")
    return fault
