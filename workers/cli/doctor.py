"""`invoices doctor`."""

from __future__ import annotations

from typing import Any

import click

from workers.cli.output import json_option, print_json, print_table

STYLES = {"ok": "green", "wrong": "red", "note": "yellow"}


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check settings, database, broker, Redis, clocks and accounts; the exit code is 1 when something is wrong.

    Accounts are reached without credentials: nothing is created and no key leaves. A note is no failure.
    """
    from rich.text import Text

    from workers.cli.checks import run_checks

    wrong = False
    lines: list[tuple[Any, ...]] = []
    for finding in run_checks():
        wrong = wrong or finding.state == "wrong"
        if as_json:
            print_json({"check": finding.check, "state": finding.state, "detail": finding.detail})
        lines.append((Text(finding.state, style=STYLES[finding.state]), finding.check, finding.detail))
    if not as_json:
        print_table(("", "CHECK", "FOUND"), lines, empty="")
    return 1 if wrong else 0
