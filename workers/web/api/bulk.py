"""Many orders in one request, one JSON object per line: each is checked, and answered, by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from starlette.requests import Request

from domain.event import invoice_text
from domain.exact_json import raw, write_json
from domain.order import MAX_ORDERS, Order
from domain.visible import escape
from workers.intake.desk import Desk
from workers.intake.direct import Stored
from workers.store.database import UNAVAILABLE
from workers.web.api.access import Caller
from workers.web.api.api import BODY_BYTES, away, parse_document, read_bytes
from workers.web.api.order_check import check, refused
from workers.web.problems import Problem

log = structlog.get_logger()

MANY_BYTES = 4 * 1024 * 1024

StoreAll = Callable[[Sequence[tuple[Order, str]]], Sequence[Stored | Exception]]


async def read_lines(request: Request) -> list[bytes]:
    """The lines that are not empty. Raises Problem: 400, 408, 413, 415."""
    if "idempotency-key" in request.headers:
        raise Problem(400, "Idempotency-Key: each line has its own, in the field idempotency_key")
    body = await read_bytes(request, MANY_BYTES)
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise Problem(400, "the body holds no order")
    if len(lines) > MAX_ORDERS:
        raise Problem(413, f"the body holds {len(lines)} orders, at most {MAX_ORDERS} are taken")
    return lines


def take_lines(
    desk: Desk, caller: Caller, store_all: StoreAll, lines: Sequence[bytes], trace: str | None = None
) -> bytes:
    """Store the good orders in one transaction; the answer, one line each. Raises ``UNAVAILABLE``.

    Takes long: not to be called on the event loop. ``trace``: the trace of all of them.
    """
    checked = [_check(desk, caller, line, trace) for line in lines]
    stored = iter(store_all([one for one in checked if isinstance(one, tuple)]))
    answers = [_answer(one if isinstance(one, Problem) else next(stored)) for one in checked]
    return b"".join(
        escape(write_json({"index": index, **content})).encode() + b"\n" for index, content in enumerate(answers)
    )


def _check(desk: Desk, caller: Caller, line: bytes, trace: str | None) -> tuple[Order, str] | Problem:
    if len(line) > BODY_BYTES:
        return Problem(413, f"the line is larger than {BODY_BYTES} bytes")
    try:
        return check(desk, caller, parse_document(line, "the line"), trace)
    except Problem as problem:
        return problem
    except Exception as error:  # noqa: BLE001 - a bug that one order meets must not stop the others
        return _told(error)


def _answer(one: Stored | Exception) -> dict[str, Any]:
    if isinstance(one, Stored) and one.invoice is not None:
        return {"status": 200 if one.added.outcome == "repeated" else 202, "invoice": raw(invoice_text(one.invoice))}
    problem = refused(one.added) if isinstance(one, Stored) else _told(one)
    return {"status": problem.status, "problem": problem.content()}


def _told(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, UNAVAILABLE):
        return away(error)
    log.error("api.bug", exc_info=error, traceback=True)
    return Problem(500, "this is our fault, and it is in the log")
