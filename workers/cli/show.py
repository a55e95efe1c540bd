"""`invoices show`: all that is known of one invoice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database, settings_to_read
from workers.cli.output import json_option, plain, print_json
from workers.cli.text import shown
from workers.cli.which import NAME, NAMES, describe, find
from workers.cli.wrapping import wrap

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.record import Record
    from workers.store.reads.search import Found
    from workers.store.reads.timeline import Entry
    from workers.store.rows import StoredRow

SOURCE_CELLS = 10


@click.command("show", help=f"Show one invoice, and all that happened to it, by {NAMES}. Of several the newest.")
@click.argument("name", metavar=NAME)
@click.option("--account", help="Whose; the newest of any account otherwise.")
@click.option("--raw", is_flag=True, help="Print each source's own words too.")
@json_option
def show_command(name: str, account: str | None, raw: bool, as_json: bool) -> None:
    from workers.store.reads.drift import drift_fields, drifts_of
    from workers.store.reads.record import read_record
    from workers.store.reads.search import siblings_of

    config = settings_to_read()
    with open_database(config) as database:
        found = find(database, name, account)
        record = database.read(read_record, database, found.newest.id)
        siblings = database.read(siblings_of, found.newest)
        drifts = database.read(drifts_of, found.newest.id)
        waits = None if record is None else _where_callbacks_go(database, config, record)
    if record is None:  # it was there a moment ago, and retention removes no invoices
        raise click.ClickException(f"invoice {found.newest.id} is gone")
    if as_json:
        print_json(_fields(record, found, siblings) | {"drift": [drift_fields(row) for row in drifts]})
        return
    _print_fields(record)
    _print_siblings(found, siblings)
    _print_payments(record)
    _print_drift(drifts)
    _print_next(record, waits)
    _print_timeline(record, raw=raw)


def _fields(record: Record, found: Found, siblings: Found) -> dict[str, object]:
    from domain.event import invoice_fields
    from domain.exact_json import read_json
    from workers.cli.payments import payment_lines
    from workers.store.reads import parts
    from workers.store.reads.acts import act_fields
    from workers.store.reads.next_steps import next_steps, step_fields
    from workers.store.reads.timeline import entry_fields, timeline

    row = record.invoice
    return {
        **invoice_fields(row),
        "params": read_json(row.params),
        "create_before": plain(row.create_before),
        "monitor_until": plain(row.monitor_until),
        "transaction": parts.transaction_of(record),
        "tries": parts.tries(record),
        **payment_lines(row, record.payments),
        "acts": [act_fields(act) for act in record.acts],
        "events": [parts.event_fields(event) for event in record.events],
        "evidence": [parts.evidence_fields(one) for one in record.evidence],
        "deliveries": [parts.delivery_fields(delivery, tries) for delivery, tries in record.deliveries],
        "timeline": [entry_fields(entry) for entry in timeline(record)],
        "next": [step_fields(step) for step in next_steps(record)],
        "siblings": [parts.sibling_fields(each) for each in siblings.rows],
        "also_found": [each.id for each in _others(found, siblings)],
    }


def _print_fields(record: Record) -> None:
    from domain.event import invoice_fields
    from domain.exact_json import write_json
    from workers.store.reads import parts

    row = record.invoice
    beside = {
        "params": None if row.params == "{}" else row.params,
        "create_before": plain(row.create_before),
        "transaction": parts.transaction_of(record),
        "monitor_until": plain(row.monitor_until),
        "tries": parts.tries_in_words(record),
    }
    fields = {**invoice_fields(row), **beside}
    named = {
        name: value for name, value in fields.items()
        if value is not None and not (name == "metadata" and row.metadata_json == "{}")
    }  # fmt: skip
    wide = max(map(len, named))
    for name, value in named.items():
        text = shown(plain(value)) if isinstance(value, (str, int)) else write_json(value)
        click.echo(f"{name:{wide}}  {text}")


def _print_siblings(found: Found, siblings: Found) -> None:
    """The other invoices of its order, and those that the same name finds."""
    order = found.newest.order_id
    for rows, more, what in (
        (siblings.rows, siblings.more, f"of order {order}"),
        (_others(found, siblings), found.more, f"with this {found.kind}"),
    ):
        if rows:
            number = f"{'more than ' if more else ''}{len(rows)}"
            _heading(f"{number} other invoice{'s' if len(rows) > 1 else ''} {what}")
            for line in describe(rows):
                click.echo(wrap("  ", line))


def _others(found: Found, siblings: Found) -> list[StoredRow]:
    """Invoices of other orders that the same name finds."""
    of_order = {row.id for row in siblings.rows}
    return [row for row in found.rows[1:] if row.id not in of_order]


def _print_payments(record: Record) -> None:
    from workers.cli.payments import NOT_KEPT, describe_payment, payment_lines

    if "payments_note" in payment_lines(record.invoice, record.payments):
        _heading(NOT_KEPT)
    if record.payments:
        _heading("payments")
        for payment in record.payments:
            click.echo(wrap("  ", describe_payment(payment, record.invoice.pay_currency)))


def _print_drift(drifts: Sequence[StoredRow]) -> None:
    from workers.store.reads.drift import sentence_of

    if drifts:
        _heading("new in the provider's answers (invoices drift list)")
        for row in drifts:
            click.echo(wrap("  ", f"{sentence_of(row)}, since {shown(row.since)}"))


def _print_next(record: Record, waits: str | None) -> None:
    from workers.store.reads.next_steps import next_steps

    steps = next_steps(record)
    _heading("next" if steps or waits else "next: nothing, it is over")
    for step in steps:
        command = f" ({step.command})" if step.command else ""
        click.echo(wrap(f"  {shown(step.at) or 'waits':19}  {step.what:{SOURCE_CELLS}}", f"{step.why}{command}"))
    if waits is not None:
        click.echo(wrap("  ", waits))


def _print_timeline(record: Record, *, raw: bool) -> None:
    from workers.store.reads.timeline import timeline

    day = None
    _heading("what happened, in UTC")
    for entry in timeline(record):
        if entry.at.date() != day:
            day = entry.at.date()
            click.echo(f"  {day}")
        start = f"  {entry.at:%H:%M:%S}.{entry.at.microsecond // 1000:03}  {entry.source:{SOURCE_CELLS}}"
        click.echo(wrap(start, _told(entry)))
        for line in (entry.raw or "").splitlines() if raw else ():
            click.echo(f"      {shown(line)}")


def _told(entry: Entry) -> str:
    again = f", {entry.repeats} times more until {shown(entry.last_at)}" if entry.repeats else ""
    is_told = entry.source == "webhook" or entry.what == "callback"  # their text says what came of it
    verdict = f" -> {entry.outcome}" if entry.outcome and not is_told else ""
    return f"{entry.text}{again}{verdict}"


def _heading(text: str) -> None:
    from workers.cli.output import has_colours

    line = shown(text)
    click.echo(f"\n{click.style(line, bold=True) if has_colours() else line}")


def _where_callbacks_go(database: Database, config: Settings, record: Record) -> str | None:
    """For an invoice that waits for one: where callbacks go, and when the last one came."""
    from workers.cli.callback_address import callback_place, tell_paid_elsewhere
    from workers.store.callbacks import newest_at
    from workers.store.reads.callbacks import paid_elsewhere
    from workers.store.reads.next_steps import waits_for_callback

    name = record.invoice.provider_account
    if name not in config.accounts or not waits_for_callback(record):
        return None
    last_at, since = database.read(newest_at, name), record.invoice.created_at
    came = f"the last one for {name} came {shown(last_at)}" if last_at else f"none came for {name} yet"
    if last_at is None or last_at < since:
        came += tell_paid_elsewhere(database.read(paid_elsewhere, name, since), since, record.now)
    return f"Callbacks go to {callback_place(config, name)}; {came}"
