"""`invoices users`: who may sign in to the console, and what they may do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from workers.cli.actor import LONGEST_NAME, acting, actor, text_option
from workers.cli.context import open_database, open_store, settings
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, plain, print_json, print_table
from workers.cli.table import YEAR, Column
from workers.cli.text import counted
from workers.cli.tokens import check_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from workers.store.people import Session, User

ROLES = ("viewer", "operator", "finance", "admin")
NOT_AGAIN = "the password is not shown again"

role_option = click.option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="viewer: all that reads. operator: cancel, recheck, redrive, replay, endpoints. finance: marks, and what "
    "reads. admin: all.",
)
accounts_option = click.option(
    "--account", "accounts", multiple=True, help="Sees only this account's; repeatable.  [default: all]"
)


@click.group("users")
def users_command() -> None:
    """Add, list and change people who sign in to the console."""


@users_command.command("add")
@click.argument("name")
@role_option
@accounts_option
@acting
@json_option
def add(name: str, role: str, accounts: tuple[str, ...], reason: str | None, by: str | None, as_json: bool) -> None:
    """Let somebody sign in to the console. The password is shown this once; only its hash is kept."""
    from domain.permissions import Role
    from workers.store.operate import people

    config, who = settings(), actor(by, reason)
    name = _name(name)
    check_accounts(config, accounts)
    with open_store(config) as store:
        try:
            password = people.add(store, who, people.NewPerson(name, Role(role), accounts))
        except people.NameTaken:
            raise CommandFailed(
                f"there is {name!r} already: invoices users role|password|remove NAME changes that"
            ) from None
    if as_json:
        shown = sorted(set(accounts)) or None
        print_json({"name": name, "role": role, "accounts": shown, "password": password})
        return
    click.echo(f"name      {name}\npassword  {password}")
    click.echo(NOT_AGAIN, err=True)


COLUMNS = (
    Column("NAME", text=12),
    Column("ROLE"),
    Column("ACCOUNTS", text=10, rank=4),
    Column("SESSIONS", rank=2),
    Column("LAST SEEN", lead=YEAR, rank=3),
    Column("ADDED", lead=YEAR, rank=5),
)


@users_command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List people who can sign in with a password, and whoever is signed in by other ways."""
    from workers.store.people import list_sessions, list_users

    with open_database() as database:
        now = database.time()
        users, sessions = database.read(list_users), database.read(list_sessions, now)
    found = list(_people(users, sessions))
    if as_json:
        for one in found:
            print_json({name: plain(value) for name, value in one.items()})
        return
    lines = (_line(one) for one in found)
    print_table(COLUMNS, lines, empty="nobody can sign in: invoices users add NAME --role ROLE")


def _people(users: list[User], sessions: list[Session]) -> Iterator[dict[str, object]]:
    """Everybody by name: those with a password, then those who signed in by a link or with an issuer's word."""
    from workers.store.people import key_of

    by_key: dict[str, list[Session]] = {}
    for session in sessions:
        by_key.setdefault(key_of(session.name), []).append(session)
    for user in users:
        yield _fields(user, by_key.pop(key_of(user.name), []), user.created_at)
    for others in by_key.values():
        yield _fields(others[0], others, None)


def _fields(known: User | Session, sessions: list[Session], added: datetime | None) -> dict[str, object]:
    return {
        "name": known.name,
        "role": known.role.value,
        "accounts": None if known.accounts is None else sorted(known.accounts),
        "password": added is not None,
        "sessions": len(sessions),
        "last_seen_at": max((one.seen_at for one in sessions), default=None),
        "created_at": added,
    }


def _line(one: dict[str, object]) -> tuple[object, ...]:
    accounts = one["accounts"]
    shown = ", ".join(accounts) if isinstance(accounts, list) else "all"
    return (one["name"], one["role"], shown, one["sessions"], one["last_seen_at"], one["created_at"])


@users_command.command("role")
@click.argument("name")
@role_option
@accounts_option
@acting
@json_option
def role_(name: str, role: str, accounts: tuple[str, ...], reason: str | None, by: str | None, as_json: bool) -> None:
    """Give somebody another role, and the accounts that go with it. Ends their sessions."""
    from domain.permissions import Role
    from workers.store.operate import people

    config, who = settings(), actor(by, reason)
    check_accounts(config, accounts)
    request = people.NewPerson(name, Role(role), accounts)
    with _known(name), open_store(config) as store:
        ended = people.change_role(store, who, request)
    fields = {"name": name, "role": role, "accounts": sorted(set(accounts)) or None}
    _tell(f"{name} is {role} now", fields, ended, as_json)


@users_command.command("password")
@click.argument("name")
@acting
@json_option
def password_(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Give somebody a new password, shown this once. The old one counts no more; ends their sessions."""
    from workers.store.operate import people

    who = actor(by, reason)
    with _known(name), open_store(settings()) as store:
        password = people.change_password(store, who, name)
    if as_json:
        print_json({"name": name, "password": password})
        return
    click.echo(f"password  {password}")
    click.echo(NOT_AGAIN, err=True)


@users_command.command("remove")
@click.argument("name")
@acting
@json_option
def remove(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """Let somebody sign in no more. Ends their sessions; what they did stays in the audit log."""
    from workers.store.operate import people

    _end(people.remove, name, reason, by, as_json=as_json, said=f"removed {name}")


@users_command.command("end-sessions")
@click.argument("name")
@acting
@json_option
def end_sessions(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """End every session of a name, however it signed in. Whoever may still sign in can do so again."""
    from workers.store.operate import people

    _end(people.end_sessions, name, reason, by, as_json=as_json, said=name)


def _end(do: Callable[..., int], name: str, reason: str | None, by: str | None, *, as_json: bool, said: str) -> None:
    who = actor(by, reason)
    with _known(name), open_store(settings()) as store:
        ended = do(store, who, name)
    _tell(said, {"name": name}, ended, as_json)


def _tell(said: str, fields: Mapping[str, object], ended: int, as_json: bool) -> None:
    if as_json:
        print_json({**fields, "sessions_ended": ended})
    else:
        click.echo(f"{said}; {counted(ended, 'session', 'sessions')} ended")


@contextmanager
def _known(name: str) -> Iterator[None]:
    """Says where nobody has the name."""
    from workers.store.operate.people import NoSuchPerson

    try:
        yield
    except NoSuchPerson:
        raise CommandFailed(f"there is nobody {name!r} (see: invoices users list)") from None


def _name(given: str) -> str:
    """Raises UsageError for what can't be somebody's name."""
    from domain.visible import why_meaningless
    from workers.store.people import key_of

    name, hidden = text_option("NAME", given, LONGEST_NAME), why_meaningless(given)
    if hidden is not None:
        raise click.UsageError(f"NAME must not contain {hidden}")
    try:
        key_of(name)
    except ValueError as error:
        raise click.UsageError(f"NAME: {error}") from None
    return name
