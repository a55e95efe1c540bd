"""`invoices restored`: to be run once after the database was restored from a backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from domain.sequence import EPOCH_STEP, MAX_EPOCH
from workers.cli.actor import acting, actor
from workers.cli.context import ensure_broker, open_store, settings
from workers.cli.output import json_option, plain, print_json
from workers.cli.text import shown

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account
    from workers.delivery.epoch_mark import EpochMark
    from workers.store.restoration import Survey

REDIS_SECONDS = 5

UNREMEMBERED = (
    "if the database has forgotten an earlier restore too, run this again with an --epoch above every one that "
    "receivers were told (this one is {})"
)

LOST = """
Lost here, and to be done by hand:
- Orders taken after {until}: shops have addresses that nobody watches any more. The shops' logs of
  webhooks, the stream's readers and the providers' dashboards name them. Callbacks about them will match no invoice.
  Shops may send them again with the same idempotency keys; a new invoice is made then, with a new address.
- Cancellations and endpoints of that time: give them again.
- Who was removed, and which tokens were revoked: they count again. Look through invoices users list and invoices
  tokens list. Everybody is signed out of the console."""


@click.command("restored")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--epoch",
    type=click.IntRange(1, MAX_EPOCH),
    help="The epoch is at least this. Only needed where Redis has lost the last one.",
)
@acting
@json_option
def restored_command(dry_run: bool, epoch: int | None, reason: str | None, by: str | None, as_json: bool) -> None:
    """Run once after the database was restored from a backup, or failed over with commits lost; best before workers.

    Receivers and providers then know more than the database. From now on events get higher sequences than any that was
    told, open invoices are looked up, queued orders whose create may have been made are in doubt, and every endpoint
    gets a system.restored event. To run it again, or while workers run, does no harm.
    """
    from workers.store.operate.restoration import restore, survey

    config, who = settings(), actor(by, reason)
    with open_store(config) as store, _open_mark(config) as mark:
        least = max(epoch or 1, 1 + mark.read())
        found, event_id = survey(store, least), None
        if not dry_run:
            mark.raise_to(found.epoch)
            found, event_id = restore(store, who, _paces(config.accounts), found.epoch)
            mark.raise_to(found.epoch)  # higher where somebody else ran this at the same time
            mark.lift_fence()
    if mark.problem is not None and not epoch:
        click.echo(f"invoices: {mark.problem}: {UNREMEMBERED.format(found.epoch)}", err=True)
    if as_json:
        print_json(_fields(found, event_id))
        return
    click.echo("\n".join([*_lines(found, dry_run), LOST.format(until=shown(found.known_until) or "the backup")]))


Said = TypeVar("Said")


class _Mark:
    """The epoch's mark in Redis, where Redis answers. Where it does not, the database is put right without it."""

    def __init__(self, mark: EpochMark | None, problem: str | None = None) -> None:
        self._mark, self.problem = mark, problem

    def read(self) -> int:
        return self._ask(lambda mark: mark.read()) or 0

    def raise_to(self, epoch: int) -> None:
        self._ask(lambda mark: mark.raise_to(epoch))

    def lift_fence(self) -> None:
        self._ask(lambda mark: mark.lift_fence())

    def _ask(self, ask: Callable[[EpochMark], Said]) -> Said | None:
        from redis.exceptions import RedisError

        if self._mark is None:
            return None
        try:
            return ask(self._mark)
        except (RedisError, OSError) as error:
            self._mark, self.problem = None, f"Redis can't be asked ({' '.join(str(error).split())})"
            return None


@contextmanager
def _open_mark(config: Settings) -> Iterator[_Mark]:
    """Starts the embedded Valkey for as long as the mark is used, unless it is running."""
    from workers.coordination.connections import ONE_TRY, open_redis
    from workers.delivery.epoch_mark import EpochMark
    from workers.embedded.errors import EmbeddedError
    from workers.embedded.valkey import stop_valkey

    try:
        started = ensure_broker(config)
    except EmbeddedError as error:
        yield _Mark(None, str(error))
        return
    try:
        with open_redis(config.redis_url, {**ONE_TRY, "socket_timeout": REDIS_SECONDS}) as client:
            yield _Mark(EpochMark(client, config.stream))
    finally:
        if started:
            stop_valkey(config.home)


def _paces(accounts: Mapping[str, Account]) -> Callable[[str], float]:
    """Seconds between an account's look-ups: half of its rate, so that creates have the other half."""

    def pace(name: str) -> float:
        account = accounts.get(name)
        if account is None:
            return 0.0
        if account.look_ups_per_second is not None:
            return 1 / account.look_ups_per_second
        return 2 / account.rate_per_second if account.rate_per_second else 1 / account.max_in_flight

    return pace


def _fields(found: Survey, event_id: str | None) -> dict[str, object]:
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
