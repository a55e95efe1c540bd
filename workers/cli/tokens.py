"""`invoices tokens`: who may use the HTTP interface, and for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from workers.cli.actor import LONGEST_NAME, acting, actor, text_option
from workers.cli.context import open_database, open_store, settings
from workers.cli.errors import CommandFailed
from workers.cli.operators import Amount
from workers.cli.output import json_option, plain, print_json, print_table
from workers.cli.table import YEAR, Column

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.tokens import Token

SCOPES = ("orders", "read", "operate", "admin")


@click.group("tokens")
def tokens_command() -> None:
    """Add, list and revoke tokens of the HTTP interface."""


@tokens_command.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="orders: create and cancel. read: all that reads. operate: cancel, recheck, redrive, replay, endpoints. "
    "admin: all. Repeatable.",
)
@click.option("--account", "accounts", multiple=True, help="Only this account's; repeatable.  [default: all]")
@click.option("--days", type=Amount(), help="For so many days.  [default: until it is revoked]")
@click.option("--per-second", type=Amount(), help="Requests a second, of each web process.  [default: no limit]")
@acting
@json_option
def add(
    name: str,
    scopes: tuple[str, ...],
    accounts: tuple[str, ...],
    days: Decimal | None,
    per_second: Decimal | None,
    reason: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Let a service use the HTTP interface. The token is shown this once; only its hash is kept.

    Several tokens may have one name, as while a new one replaces an old one: the others are listed.
    """
    from domain.permissions import Scope
    from workers.store.operate import tokens

    config, who = settings(), actor(by, reason)
    name = text_option("NAME", name, LONGEST_NAME)
    _check_bound("--days", days, tokens.LONGEST_DAYS)
    _check_bound("--per-second", per_second, tokens.MOST_PER_SECOND)
    check_accounts(config, accounts)
    request = tokens.NewToken(name, [Scope(one) for one in scopes], accounts, days, per_second)
    with open_store(config) as store:
        token_id, token = tokens.add(store, who, request)
        same = [one for one in _live_tokens(store.database, name) if one != token_id]
    told = {"id": token_id, "token": token, "name": name, "scopes": sorted(set(scopes))}
    _tell_added(told, same, as_json=as_json)


def _tell_added(told: Mapping[str, object], same: Sequence[str], *, as_json: bool) -> None:
    """``same``: other live tokens of its name."""
    if as_json:
        print_json({**told, "same_name": same})
        return
    click.echo(f"id     {told['id']}\ntoken  {told['token']}")
    click.echo("the token is not shown again; it goes into a header: Authorization: Bearer TOKEN", err=True)
    if same:
        others = "tokens have" if len(same) > 1 else "token has"
        said = f"{len(same)} other live {others} this name: {', '.join(same)}"
        click.echo(f"{said}; revoke an id to end one, the name to end all", err=True)


def _live_tokens(database: Database, name: str) -> list[str]:
    """The ids of the live tokens of this name, oldest first."""
    from workers.store.tokens import list_tokens

    now, found = database.time(), database.read(list_tokens)
    return [token.id for token in found if token.name == name and token.is_live(now)]


def _check_bound(option: str, value: Decimal | None, most: int) -> None:
    if value is not None and not 0 < value <= most:
        raise click.UsageError(f"{option} must be greater than 0 and at most {most}")


def check_accounts(config: Settings, accounts: tuple[str, ...]) -> None:
    """Raise CommandFailed for an account that is not configured: a mistyped one would silently show nothing."""
    unknown = sorted(set(accounts) - set(config.accounts))
    if unknown:
        there = ", ".join(sorted(config.accounts))
        raise CommandFailed(f"--account: there is no account {', '.join(unknown)}; there are {there}", exit_code=2)


COLUMNS = (
    Column("ID"),
    Column("NAME", text=12),
    Column("SCOPES", rank=2),
    Column("ACCOUNTS", text=10, rank=4),
    Column("STATE"),
    Column("LAST USED", lead=YEAR, rank=3),
    Column("EXPIRES", lead=YEAR, rank=5),
    Column("PER SECOND", rank=6),
)


@tokens_command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List tokens, revoked and expired ones too."""
    from workers.store.tokens import list_tokens

    with open_database() as database:
        now, found = database.time(), database.read(list_tokens)
    if as_json:
        for token in found:
            print_json(_fields(token, now))
        return
    print_table(COLUMNS, (_line(token, now) for token in found), empty="there is no token: invoices tokens add NAME")


def _state(token: Token, now: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "live" if token.is_live(now) else "expired"


def _line(token: Token, now: datetime) -> tuple[object, ...]:
    accounts = "all" if token.accounts is None else ", ".join(sorted(token.accounts))
    used, limit = token.last_used_at, token.per_second
    scopes = ", ".join(token.scopes)
    return (token.id, token.name, scopes, accounts, _state(token, now), used, token.expires_at, limit)


def _fields(token: Token, now: datetime) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "accounts": None if token.accounts is None else sorted(token.accounts),
        "state": _state(token, now),
        "per_second": token.per_second,
        "created_at": plain(token.created_at),
        "expires_at": plain(token.expires_at),
        "revoked_at": plain(token.revoked_at),
        "last_used_at": plain(token.last_used_at),
    }


@tokens_command.command("revoke")
@click.argument("name", metavar="ID|NAME")
@acting
@json_option
def revoke(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """End a token from the next request on; by a name, all tokens of that name."""
    from workers.store.operate import tokens

    who = actor(by, reason)
    with open_store(settings()) as store:
        revoked = tokens.revoke(store, who, name)
    if not revoked:
        raise CommandFailed(f"there is no live token {name!r} (see: invoices tokens list)")
    for token_id in revoked:
        if as_json:
            print_json({"id": token_id, "revoked": True})
        else:
            click.echo(f"revoked {token_id}")
