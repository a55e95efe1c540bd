"""Invoices as CSV (RFC 4180): exactly those that a filter chooses, every digit, page after page while it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence

import structlog
from starlette.responses import Response

from domain.event import invoice_fields
from domain.exact_json import write_json
from workers.store.database import UNAVAILABLE
from workers.store.reads.selection import Selection, read_piece
from workers.store.rows import StoredRow
from workers.web.api.places import Places
from workers.web.api.streaming import Pieces
from workers.web.console.console import Console
from workers.web.console.person import Person
from workers.web.console.refusals import Refused
from workers.web.problems import Problem
from workers.web.threads import Overloaded

log = structlog.get_logger()

PIECE = 500
COLUMNS = (
    "id", "account", "provider_account", "provider", "order_id", "idempotency_key", "status", "anomaly",
    "price", "currency", "pay_amount", "pay_currency", "paid_amount", "network", "address", "provider_ref",
    "created_at", "updated_at", "expires_at", "sequence", "reason", "metadata",
)  # fmt: skip
#: A cell that begins so is a formula to spreadsheets; with an apostrophe before it they show it as text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


async def csv_of(console: Console, places: Places, selection: Selection, person: Person) -> Response:
    """All that it chooses. Raises Refused where too many downloads are under way; what says that the database is away
    before the first piece."""
    _require_place(places, person)

    def read(before: str | None = None) -> tuple[Sequence[StoredRow], str | None]:
        return console.store.database.read(read_piece, selection, before, PIECE)

    first = await console.ask(read)

    async def pieces() -> AsyncGenerator[bytes]:
        rows, before = first
        yield _lines([COLUMNS, *map(_cells, rows)])
        while before is not None:
            try:
                rows, before = await console.ask(read, before)
            except (Overloaded, *UNAVAILABLE) as error:  # broken off: nobody takes a part for the whole
                log.warning("console.store_away", error=type(error).__name__)
                raise Problem(503, "the database does not answer") from None
            yield _lines(map(_cells, rows))

    headers = {"content-disposition": 'attachment; filename="invoices.csv"'}
    return Pieces(pieces(), headers, "text/csv; charset=utf-8; header=present", places.of(person.name))


def _require_place(places: Places, person: Person) -> None:
    try:
        with places.of(person.name):
            pass
    except Problem:
        detail = "Each of them reads the database for as long as it takes. Try again when one of them has ended."
        raise Refused(503, "Too many pages and downloads are open", detail) from None


def _cells(row: StoredRow) -> list[str]:
    fields = invoice_fields(row)
    return [_cell(fields[name]) for name in COLUMNS]


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else write_json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")
