"""`invoices doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from workers.cli.output import has_colours, json_option, plain, print_json
from workers.cli.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.cli.doctor.finding import Finding

COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}
ORDER = {"ok": 0, "note": 1, "wrong": 2}
STATE_CELLS = max(map(len, ORDER))


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
    wide = max(len(finding.check) for finding in found)
    for finding in sorted(found, key=lambda finding: ORDER[finding.state]):
        click.echo(_line(finding, wide))
    summary = _sum_up(found)
    click.echo(click.style(summary, bold=True) if has_colours() else summary)


def _line(finding: Finding, wide: int) -> str:
    """State, check and detail in columns; ``wide``: cells of the widest check."""
    text = finding.detail
    if finding.command and f"`{finding.command}`" not in finding.detail:
        text += f" → {finding.command}"
    line = wrap(f"{finding.state:{STATE_CELLS}}  {finding.check:{wide}}  ", text)
    if not has_colours():
        return line
    colour, is_bold = COLOURS[finding.state], True if finding.state == "wrong" else None
    return click.style(finding.state, fg=colour, bold=is_bold) + line[len(finding.state) :]


def _sum_up(found: Sequence[Finding]) -> str:
    wrong = sum(finding.state == "wrong" for finding in found)
    notes = sum(finding.state == "note" for finding in found)
    said = "nothing is wrong" if not wrong else "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    return said + (f", {notes} {'note' if notes == 1 else 'notes'}" if notes else "")
