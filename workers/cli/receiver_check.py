"""`invoices receiver-check`: does a shop's receiver take good webhooks and refuse forged ones?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from workers.cli.context import settings
from workers.cli.errors import CommandFailed
from workers.cli.output import console, json_option, print_json, print_table
from workers.cli.text import shown

if TYPE_CHECKING:
    from workers.delivery.receiver_check import Finding
    from workers.http.address import AddressGuard

STYLES = {"ok": "green", "warning": "yellow", "wrong": "red", "skipped": "dim"}


@click.command("receiver-check")
@click.argument("url")
@click.option(
    "--secret",
    required=True,
    envvar="WEBHOOK_SECRET",
    show_envvar=True,
    metavar="whsec_…",
    help="The endpoint's. In the variable the list of processes does not show it.",
)
@click.option(
    "--allow", multiple=True, metavar="HOST", help="May be plain HTTP or private: host[:port] or CIDR; repeatable."
)
@json_option
def receiver_check_command(url: str, secret: str, allow: tuple[str, ...], as_json: bool) -> None:
    """Send good events, repeats and forgeries to your own webhook receiver, and show what it did wrong.

    The invoices are made up (order ids receiver-check-…), and none of them is ever paid. The exit code is 1 when a
    check fails; a warning is no failure. Needs no database, no broker and no registered endpoint.
    """
    guard = _guard(allow)
    _check(url, secret, guard)
    findings = asyncio.run(_run(url, secret, guard, as_json))
    if not as_json:
        _show(findings)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if wrong:
        raise CommandFailed(f"{wrong} of {len(findings)} checks failed: each line's advice says what to change")


def _guard(allow: tuple[str, ...]) -> AddressGuard:
    from workers.http.address import AddressGuard, parse_allow

    try:
        parse_allow(allow)
    except ValueError as error:
        raise CommandFailed(str(error).replace("INVOICES_WEBHOOK_ALLOW", "--allow"), exit_code=2) from None
    return AddressGuard((*settings().webhook_allow, *allow))


def _check(url: str, secret: str, guard: AddressGuard) -> None:
    """Check what can be checked before anything is sent. Raises CommandFailed."""
    from workers.delivery.signature import sign
    from workers.http.address import AddressRefused

    try:
        sign((secret,), "", 0, b"")
    except ValueError:
        raise CommandFailed("--secret: is not whsec_ and base64, as `invoices endpoints add` shows it", 2) from None
    try:
        asyncio.run(guard.resolve_and_check(url))
    except AddressRefused as error:
        hint = str(error).replace("INVOICES_WEBHOOK_ALLOW lists", "--allow or INVOICES_WEBHOOK_ALLOW lists")
        raise CommandFailed(f"url: {hint}", exit_code=2) from None


async def _run(url: str, secret: str, guard: AddressGuard, as_json: bool) -> list[Finding]:
    from workers.delivery.receiver_check import check_receiver
    from workers.delivery.receiver_scene import Scene
    from workers.delivery.webhook import WebhookSender

    findings: list[Finding] = []
    progress = console(stderr=True)
    with progress.status("playing …"):  # shows nothing where there is no terminal
        async with WebhookSender(guard) as sender:
            async for finding in check_receiver(sender, Scene(url, secret)):
                findings.append(finding)
                if as_json:
                    print_json(asdict(finding))
    return findings


def _show(findings: list[Finding]) -> None:
    from rich.text import Text

    rows = (
        (
            Text(finding.verdict, style=STYLES[finding.verdict]),
            finding.title,
            finding.expected,
            finding.came,
            None if finding.latency_ms is None else f"{finding.latency_ms} ms",
            finding.advice,
        )
        for finding in findings
        if finding.verdict != "skipped"
    )
    print_table(("", "CHECK", "EXPECTED", "CAME", "TOOK", "ADVICE"), rows, empty="")
    skipped = [finding.came for finding in findings if finding.verdict == "skipped"]
    if skipped:
        click.echo(f"\n{len(skipped)} more: {skipped[0]}")
    unseen = [finding.look for finding in findings if finding.look]
    if unseen:
        click.echo("\nOnly answers can be seen from here. Look for yourself:")
        for look in unseen:
            click.echo(f"- {shown(look)}")
