"""Which invoice a person means by a name, and what to say when it means several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from workers.cli.errors import CommandFailed
from workers.cli.text import shown

if TYPE_CHECKING:
    from workers.store.database import Database
    from workers.store.reads.search import Found
    from workers.store.rows import StoredRow

#: What the help calls a name that ``find`` takes, and what such a name may be.
NAME = "NAME"
NAMES = "an invoice's id, an order id, an event's id, an idempotency key, the provider's reference, a transaction or a payment address"  # noqa: E501


def find(database: Database, name: str, account: str | None = None) -> Found:
    """The invoices that a name means. Raises CommandFailed where there is none."""
    from workers.store.reads.search import search

    found = database.read(search, name, account)
    if found is None:
        of = f" of account {account}" if account else ""
        raise CommandFailed(f"there is no invoice or order {name!r}{of} (see: {', '.join(_elsewhere())})")
    return found


def _elsewhere() -> list[str]:
    """Where it may be."""
    from config.settings import load_settings

    archived = ["invoices archive find"] if load_settings(need_keys=False).archive_dir is not None else []
    return ["invoices list", "invoices rejected", *archived]


def require_invoice(database: Database, name: str, account: str | None = None, *, tell: bool = True) -> StoredRow:
    """The newest that a name means; the others are listed on standard error. Raises CommandFailed."""
    found = find(database, name, account)
    if tell and len(found.rows) > 1:
        tell_others(name, found, found.newest)
    return found.newest


def choose_invoice(database: Database, name: str, account: str | None = None, *, ask: bool = True) -> StoredRow:
    """The one to change: the newest, or the one that is chosen on a terminal. Raises CommandFailed."""
    found = find(database, name, account)
    accounts = sorted({row.account for row in found.rows})
    if len(accounts) > 1:
        raise CommandFailed(f"several accounts have an order {name!r}: give --account {'|'.join(accounts)}", 2)
    if len(found.rows) == 1:
        return found.newest
    if ask and can_ask():
        return _ask(name, found)
    tell_others(name, found, found.newest)
    return found.newest


def can_ask() -> bool:
    """Whether there is a terminal, and so somebody who could answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def tell_others(name: str, found: Found, chosen: StoredRow) -> None:
    """On standard error: programs read standard output."""
    others = [row for row in found.rows if row.id != chosen.id]
    kind = found.kind if found.kind != "order" else "order id"
    click.echo(f"invoices: {_count(found)} have this {kind}; {chosen.id} is the newest. The others:", err=True)
    for line in describe(others):
        click.echo(f"  {line}", err=True)


def describe(rows: Sequence[StoredRow]) -> list[str]:
    """A line for each: what it is, so that one can be chosen."""
    from workers.cli.output import money

    wide = max((len(_status(row)) for row in rows), default=0)
    parts = [
        (row.id, f"{_status(row):{wide}}", shown(row.created_at), row.account, money(row.price, row.currency))
        for row in rows
    ]
    return ["  ".join(filter(None, line)) for line in parts]


def _ask(name: str, found: Found) -> StoredRow:
    click.echo(f"{_count(found)} are meant by {shown(name)}:", err=True)
    for number, line in enumerate(describe(found.rows), start=1):
        click.echo(f"{number:>3}  {line}", err=True)
    number = click.prompt("which one", type=click.IntRange(1, len(found.rows)), default=1, err=True)
    return found.rows[number - 1]


def _count(found: Found) -> str:
    return f"{'more than ' if found.more else ''}{len(found.rows)} invoices"


def _status(row: StoredRow) -> str:
    return f"{row.status} ({row.anomaly})" if row.anomaly else str(row.status)
