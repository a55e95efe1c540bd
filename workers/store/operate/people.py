"""The console's people: added, changed, removed. Whoever is changed has to sign in again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from domain.event import new_id
from domain.exact_json import write_json
from domain.permissions import Role
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.passwords import hash_password, new_password
from workers.store.people import User, find_user, key_of, user_of
from workers.store.store import Store
from workers.store.tables import PERSON, SESSION


class NameTaken(Exception):  # noqa: N818 - reads as what happened
    """Somebody has this name already, perhaps in another case."""


class NoSuchPerson(Exception):  # noqa: N818 - reads as what happened
    """Nobody has this name."""


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Somebody to be added. ``accounts`` empty: sees all."""

    name: str
    role: Role
    accounts: Collection[str] = ()


def add(store: Store, actor: Actor, request: NewPerson) -> str:
    """Add somebody; the password, which nobody can show again. Raises NameTaken, ValueError."""
    name, key, password = request.name.strip(), key_of(request.name), new_password()
    hashed, accounts = hash_password(password), sorted(set(request.accounts))
    with store.database.transaction() as connection:
        if find_user(connection, key) is not None:
            raise NameTaken
        now = store.database.now(connection)
        connection.execute(
            insert(PERSON).values(
                id=new_id("usr"),
                name=name,
                key=key,
                role=request.role.value,
                accounts=write_json(accounts) if accounts else None,
                password=hashed,
                created_at=now,
                changed_at=now,
            )
        )
        after: Values = {"person": name, "role": request.role.value, "accounts": accounts or None}
        record(connection, store.database, actor, [Deed(act=Act.ADD_PERSON, after=after)])
    return password


def change_role(store: Store, actor: Actor, request: NewPerson) -> int:
    """Give somebody another role, and the accounts that go with it; how many sessions it ended. Raises NoSuchPerson."""
    accounts = sorted(set(request.accounts))
    with store.database.transaction() as connection:
        user = _lock(connection, request.name)
        values = {"role": request.role.value, "accounts": write_json(accounts) if accounts else None}
        _change(connection, store, user, values)
        ended = _end_sessions(connection, user.name)
        after: Values = {"role": request.role.value, "accounts": accounts or None, "sessions_ended": ended}
        record(connection, store.database, actor, [Deed(act=Act.CHANGE_ROLE, before=_shown(user), after=after)])
    return ended


def change_password(store: Store, actor: Actor, name: str) -> str:
    """Give somebody a new password, which nobody can show again; the old one counts no more. Raises NoSuchPerson."""
    password = new_password()
    hashed = hash_password(password)
    with store.database.transaction() as connection:
        user = _lock(connection, name)
        _change(connection, store, user, {"password": hashed})
        after: Values = {"sessions_ended": _end_sessions(connection, user.name)}
        before: Values = {"person": user.name}
        record(connection, store.database, actor, [Deed(act=Act.CHANGE_PASSWORD, before=before, after=after)])
    return password


def remove(store: Store, actor: Actor, name: str) -> int:
    """Let somebody sign in no more; how many sessions it ended. Raises NoSuchPerson."""
    with store.database.transaction() as connection:
        user = _lock(connection, name)
        connection.execute(delete(PERSON).where(PERSON.c.id == user.id))
        ended = _end_sessions(connection, user.name)
        after: Values = {"removed": True, "sessions_ended": ended}
        record(connection, store.database, actor, [Deed(act=Act.REMOVE_PERSON, before=_shown(user), after=after)])
    return ended


def end_sessions(store: Store, actor: Actor, name: str) -> int:
    """End every session of a name, however it signed in; how many those were. Raises NoSuchPerson where there was
    neither a session nor somebody of that name."""
    with store.database.transaction() as connection:
        user = _find_locked(connection, name)  # who is signing in right now waits, and is then signed in
        ended = _end_sessions(connection, name)
        if user is None and not ended:
            raise NoSuchPerson
        told: Values = {"person": name if user is None else user.name}
        deed = Deed(act=Act.END_SESSIONS, before=told, after={"sessions_ended": ended})
        record(connection, store.database, actor, [deed])
    return ended


def _lock(connection: Connection, name: str) -> User:
    user = _find_locked(connection, name)
    if user is None:
        raise NoSuchPerson
    return user


def _find_locked(connection: Connection, name: str) -> User | None:
    """The row, locked: who signs in with it locks it too."""
    try:
        key = key_of(name)
    except ValueError:
        return None
    row = connection.execute(select(PERSON).where(PERSON.c.key == key).with_for_update()).first()
    return None if row is None else user_of(row)


def _change(connection: Connection, store: Store, user: User, values: dict[str, str | None]) -> None:
    now = store.database.now(connection)
    connection.execute(update(PERSON).where(PERSON.c.id == user.id).values(**values, changed_at=now))


def _end_sessions(connection: Connection, name: str) -> int:
    return connection.execute(delete(SESSION).where(SESSION.c.key == key_of(name))).rowcount


def _shown(user: User) -> Values:
    accounts = None if user.accounts is None else sorted(user.accounts)
    return {"person": user.name, "role": user.role.value, "accounts": accounts}
