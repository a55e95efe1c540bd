"""Invoices as CSV (RFC 4180): exactly those that a filter chooses, every digit."""

from __future__ import annotations

from domain.event import invoice_fields
from domain.exact_json import write_json
from domain.sheets import csv_line
from workers.store.reads.selection import Selection, read_piece
from workers.store.rows import StoredRow
from workers.web.console.console import Console
from workers.web.console.downloads import Read

KIND = "text/csv; charset=utf-8; header=present"
PIECE = 500
COLUMNS = (
    "id", "account", "provider_account", "provider", "order_id", "idempotency_key", "status", "anomaly",
    "price", "currency", "pay_amount", "pay_currency", "paid_amount", "network", "address", "provider_ref",
    "created_at", "updated_at", "expires_at", "sequence", "reason", "metadata",
)  # fmt: skip


def reader_of(console: Console, selection: Selection) -> Read[str]:
    """Reads all that it chooses, a page at a time."""
    read_page = console.store.database.read

    async def read(before: str | None) -> tuple[bytes, str | None]:
        rows, following = await console.ask(read_page, read_piece, selection, before, PIECE)
        text = "".join(csv_line(_cells(row)) for row in rows)
        return f"{csv_line(COLUMNS) if before is None else ''}{text}".encode("utf-8", "replace"), following

    return read


def _cells(row: StoredRow) -> list[object]:
    fields = invoice_fields(row)
    return [_text(fields[name]) for name in COLUMNS]


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else write_json(value)
