"""`invoices restored`: what has to be done once after the database was restored from a backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from domain.sequence import EPOCH_STEP
from workers.cli.context import open_store, settings
from workers.cli.output import json_option, plain, print_json, shown

if TYPE_CHECKING:
    from domain.account import Account
    from workers.store.restoration import Survey

GONE = """
Gone here, and to be done by hand:
- Orders taken after {until}: shops hold addresses that nobody watches here. The shops' logs of
  webhooks, the stream's readers and the providers' dashboards name them. Callbacks about them will match no invoice.
  Shops may send them again with the same idempotency keys; a new invoice is made then, with a new address.
- Cancellations and endpoints of that time: give them again."""


@click.command("restored")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def restored_command(dry_run: bool, as_json: bool) -> None:
    """Run once after the database was restored from a backup, or failed over with commits lost; best before workers.

    The outside is ahead then: later events get higher sequences than any that was told, open invoices are looked up,
    queued orders whose create may have been made are in doubt, every endpoint is told by a system.restored event.
    Run again, or while workers run, it does no harm.
    """
    config = settings()
    with open_store(config) as store:
        if dry_run:
            found, event_id = store.survey_restore(), None
        else:
            found, event_id = store.restore(_paces(config.accounts))
    if as_json:
        print_json(_fields(found, event_id))
        return
    click.echo("\n".join([*_lines(found, dry_run), GONE.format(until=shown(found.known_until) or "the backup")]))


def _paces(accounts: Mapping[str, Account]) -> Callable[[str], float]:
    """Seconds between an account's look-ups: half of its rate, so that creates have the other half."""

    def pace(name: str) -> float:
        account = accounts.get(name)
        if account is None:
            return 0.0
        return 2 / account.rate_per_second if account.rate_per_second else 1 / account.max_in_flight

    return pace


def _fields(found: Survey, event_id: str | None) -> dict[str, Any]:
    return {
        "dry_run": event_id is None,
        "epoch": found.epoch,
        "at": plain(found.now),
        "known_until": plain(found.known_until),
        "looked_up": sum(map(len, found.look_ups.values())),
        "cannot_be_asked": dict(found.unaskable),
        "in_doubt": len(found.uncertain),
        "held": found.held,
        "leases_ended": found.leases,
        "endpoints": found.endpoints,
        "endpoints_disabled": found.disabled,
        "event_id": event_id,
    }


def _lines(found: Survey, dry_run: bool) -> list[str]:
    unaskable = ", ".join(f"{account}: {count}" for account, count in found.unaskable.items())
    again = len(found.uncertain) - found.held
    lines = {
        "epoch": f"{found.epoch}: an invoice's next event has a sequence above {found.epoch * EPOCH_STEP}",
        "open": f"{sum(map(len, found.look_ups.values()))} invoices are looked up now, at the accounts' rates",
        "not asked": unaskable and f"{unaskable}: they can't be looked up, see the provider's dashboard",
        "in doubt": f"{len(found.uncertain)} orders whose create may have been made: {again} are created again, "
        f"{found.held} held (invoices redrive doubt)",
        "leases": f"{found.leases} of before are over",
        "endpoints": f"{found.endpoints} are told (system.restored)"
        + (f", {found.disabled} of them once enabled" if found.disabled else ""),
    }
    head = ["dry run: nothing was changed; it would be so:"] if dry_run else []
    return head + [f"{name:11}{text}" for name, text in lines.items() if text]
