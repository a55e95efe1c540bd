"""`invoices doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli.output import console, json_option, plain, print_json
from workers.cli.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.cli.doctor.finding import Finding

STYLES = {"ok": "green", "wrong": "bold red", "note": "yellow"}
ORDER = {"ok": 0, "note": 1, "wrong": 2}


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Look at everything that may keep orders, payments or webhooks waiting; the exit code is 1 if something is wrong.

    Settings, database, broker, Redis, workers, providers, receivers, clocks. Accounts are reached without credentials:
    nothing is created and no key leaves. A note is no failure.
    """
    from workers.cli.doctor.report import run_checks

    found = []
    for finding in run_checks():
        found.append(finding)
        if as_json:
            print_json({name: plain(value) for name, value in finding.fields().items()})
    if not as_json:
        _print_report(found)
    return 1 if any(finding.state == "wrong" for finding in found) else 0


def _print_report(found: Sequence[Finding]) -> None:
    """What is wrong stands last, where a terminal shows it, and the last line sums up."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in sorted(found, key=lambda finding: ORDER[finding.state]):
        what = Text(shown(finding.detail))
        if finding.command and f"`{finding.command}`" not in finding.detail:
            what.append(" → ", style="dim").append(finding.command, style="cyan")
        table.add_row(Text(finding.state, style=STYLES[finding.state]), Text(finding.check), what)
    out = console()
    out.print(table)
    out.print(Text(_sum_up(found), style="bold"))


def _sum_up(found: Sequence[Finding]) -> str:
    wrong = sum(finding.state == "wrong" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    said = "nothing is wrong" if not wrong else "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    return said + (f", {notes} {'note' if notes == 1 else 'notes'}" if notes else "")
