"""`invoices report`: payments of a period, and what is open at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, Unpack

import click

from workers.cli.accounts import require_account
from workers.cli.context import open_database, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.report.options import Instant, Shared, check_keys, shared
from workers.cli.report.writing import BEANCOUNT, CSV, JSON_LINES, Write, output_to, write_rows
from workers.cli.text import counted, shown

if TYPE_CHECKING:
    from domain.aging import OpenInvoice
    from domain.books import Line
    from workers.store.database import Database

#: A period that is over for less than this may still get lines: of transactions that are being committed.
SETTLED_AFTER = timedelta(minutes=1)


class Owned(Protocol):
    """What belongs to an account."""

    @property
    def account(self) -> str: ...


One = TypeVar("One", bound=Owned)


@click.group("report")
def report_command() -> None:
    """Lines for the books: payments of a period, or what is open."""


@report_command.command("payments")
@click.option("--from", "since", type=Instant(), help="From then on: a date, or a time.  [default: all]")
@click.option("--to", "until", type=Instant(), help="Before then.  [default: now]")
@click.option(
    "--metadata", "keys", metavar="KEY", multiple=True, help="A key of the orders' metadata; may be repeated."
)
@shared([CSV, JSON_LINES, BEANCOUNT])
def payments_command(
    since: datetime | None, until: datetime | None, keys: tuple[str, ...], **given: Unpack[Shared]
) -> None:
    """Print a line for each payment, refund, mark and correction of a period, oldest first.

    Times and amounts of lines never change, and periods that adjoin have each line once. What the columns mean:
    `invoices files BOOKS.md`.
    """
    from workers.store.reads.books import read_lines

    form, wanted = _form(given), check_keys(keys)
    if since is not None and until is not None and until <= since:
        raise click.UsageError("--to must be later than --from")
    if given["only_totals"] and form == BEANCOUNT:
        raise click.UsageError("--totals is csv or jsonl: beancount adds up itself")
    with _reading(given["accounts"]) as (database, now):
        _say_what_may_be_missing(until, now)
        lines = _of(given["accounts"], read_lines(database, since, until or now))
        with output_to(given["path"]) as write:
            if given["only_totals"]:
                count = _write_sums(write, form, lines)
            else:
                count = _write_lines(write, form, lines, given["zone"], wanted)
    _tell(given["path"], count)


@report_command.command("open")
@click.option("--at", type=Instant(), help="The instant: a date, or a time.  [default: now]")
@shared([CSV, JSON_LINES])
def open_command(at: datetime | None, **given: Unpack[Shared]) -> None:
    """Print a line for each invoice that is open, or was at an instant, oldest first, with its age.

    What was open at an earlier instant is told from the events since then, as far back as they are kept.
    """
    from domain.aging import COLUMNS, TOTAL_COLUMNS, OpenTotals

    form = _form(given)
    with _reading(given["accounts"]) as (database, now):
        found = _of(given["accounts"], _open_invoices(database, at, now))
        with output_to(given["path"]) as write:
            if given["only_totals"]:
                sums = OpenTotals()
                for one in found:
                    sums.add(one)
                count = write_rows(write, form, TOTAL_COLUMNS, sums.rows())
            else:
                count = write_rows(write, form, COLUMNS, (one.values(given["zone"]) for one in found))
    _tell(given["path"], count)


def _say_what_may_be_missing(until: datetime | None, now: datetime) -> None:
    from workers.store.operate.archiving import has_files

    if until is not None and until > now - SETTLED_AFTER:
        click.echo("the period is not over by a minute yet: more lines may come", err=True)
    folder = settings_to_read().archive_dir
    try:
        if folder is not None and has_files(folder):
            click.echo(f"payments of archived invoices are in {folder}, not here", err=True)
    except OSError as error:  # who reads reports need not be allowed to read the archive
        click.echo(f"whether there are archived invoices can't be told: {folder}: {error.strerror}", err=True)


def _form(given: Shared) -> str:
    if given["as_json"] and given["chosen"] not in {None, JSON_LINES}:
        raise click.UsageError(f"--json is --format {JSON_LINES}: leave one of them out")
    return JSON_LINES if given["as_json"] else given["chosen"] or CSV


@contextmanager
def _reading(accounts: Iterable[str]) -> Iterator[tuple[Database, datetime]]:
    """The database, and the time by its clock. Raises CommandFailed for an account that does not exist."""
    config = settings_to_read()
    with open_database(config) as database:
        for account in accounts:
            require_account(database, config, account)
        yield database, database.time()


def _of(accounts: Sequence[str], found: Iterable[One]) -> Iterator[One]:
    return (one for one in found if not accounts or one.account in accounts)


def _write_sums(write: Write, form: str, lines: Iterable[Line]) -> int:
    from domain.books import TOTAL_COLUMNS, Totals

    sums = Totals()
    for line in lines:
        sums.add(line)
    return write_rows(write, form, TOTAL_COLUMNS, sums.rows())


def _write_lines(write: Write, form: str, lines: Iterable[Line], zone: tzinfo, keys: Sequence[str]) -> int:
    if form != BEANCOUNT:
        from domain.books import COLUMNS

        columns = (*COLUMNS, *(f"metadata.{key}" for key in keys))
        return write_rows(write, form, columns, (line.values(zone, keys) for line in lines))
    from domain.beancount import HEAD, transaction

    write(HEAD)
    count = 0
    for line in lines:
        write(transaction(line, zone, keys))
        count += 1
    return count


def _open_invoices(database: Database, at: datetime | None, now: datetime) -> Iterator[OpenInvoice]:
    from workers.store.reads.open_at import TooLongAgo, open_at, open_now

    if at is None:
        return open_now(database, now)
    if at > now:
        raise click.UsageError(f"--at must not be in the future: it is {shown(now)} UTC")
    try:
        return open_at(database, at)
    except TooLongAgo as error:
        kept = "left out, for now" if error.since is None else f"{shown(error.since)} UTC or later"
        raise CommandFailed(f"--at: events since then were removed or archived; it can be {kept}") from None


def _tell(path: Path | None, count: int) -> None:
    if path is not None:
        click.echo(f"{path}: {counted(count, 'line', 'lines')}", err=True)
