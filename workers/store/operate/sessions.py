"""Signing in to the console and out of it, and links that sign in once. How long a session lasts:
``workers/store/people.py``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from domain.exact_json import write_json
from domain.permissions import Role
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.passwords import new_secret
from workers.store.people import LONGEST, User, key_of, user_of
from workers.store.store import Store
from workers.store.tables import LINK, PERSON, SESSION
from workers.store.tables.columns import LONGEST_NAME
from workers.store.tokens import hash_of

#: How long a one-time link may wait.
LINK_LIVES = timedelta(minutes=10)
LONGEST_ADDRESS = 64


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody who has shown who they are. ``way``: password, oidc or link; ``accounts`` None: all.

    ``former`` is the secret of the session that the browser had before, which ends: none is taken over. ``subject`` is
    who the issuer says it was, for the audit log.
    """

    name: str
    role: Role
    accounts: Collection[str] | None
    way: str
    address: str
    former: str | None = None
    subject: str | None = None


def begin(store: Store, request: SignIn) -> str:
    """A new session; its secret, which is for the browser alone."""
    with store.database.transaction() as connection:
        return _begin(connection, store, request)


def begin_for(store: Store, user: User, address: str, former: str | None) -> str | None:
    """The same for somebody who gave their password; None: they were changed or removed since it was looked at."""
    with store.database.transaction() as connection:
        row = connection.execute(select(PERSON).where(PERSON.c.id == user.id).with_for_update()).first()
        if row is None or row.password != user.password:
            return None
        now = user_of(row)
        return _begin(connection, store, SignIn(now.name, now.role, now.accounts, "password", address, former))


def end(store: Store, actor: Actor, secret: str) -> None:
    """Sign out; no harm where the session is over already."""
    with store.database.transaction() as connection:
        ended = connection.execute(delete(SESSION).where(SESSION.c.hash == hash_of(secret))).rowcount
        if ended:
            record(connection, store.database, actor, [Deed(act=Act.SIGN_OUT, before={"person": actor.name})])


def end_everybody(connection: Connection) -> None:
    """No session and no link counts any more: a backup brings back those that had ended since."""
    connection.execute(delete(SESSION))
    connection.execute(delete(LINK))


def add_link(store: Store, actor: Actor) -> tuple[str, datetime]:
    """The secret of a link that signs its maker in as an admin, once; and until when."""
    secret = new_secret()
    with store.database.transaction() as connection:
        now = store.database.now(connection)
        ends_at = now + LINK_LIVES
        connection.execute(delete(LINK).where(LINK.c.ends_at <= now))
        row = {"hash": hash_of(secret), "name": actor.name[:LONGEST_NAME], "created_at": now, "ends_at": ends_at}
        connection.execute(insert(LINK).values(row))
        deed = Deed(act=Act.ADD_LINK, after={"ends_at": ends_at})
        record(connection, store.database, actor, [deed])
    return secret, ends_at


def use_link(store: Store, link: str, address: str, former: str | None) -> str | None:
    """The secret of the session that a link is exchanged for; None: it was used, is too old, or never was."""
    with store.database.transaction() as connection:
        row = connection.execute(select(LINK).where(LINK.c.hash == hash_of(link)).with_for_update()).first()
        if row is None:
            return None
        connection.execute(delete(LINK).where(LINK.c.hash == row.hash))
        if store.database.now(connection) >= row.ends_at:
            return None
        return _begin(connection, store, SignIn(row.name, Role.ADMIN, None, "link", address, former))


def _begin(connection: Connection, store: Store, request: SignIn) -> str:
    secret, now = new_secret(), store.database.now(connection)
    over = SESSION.c.ends_at <= now
    if request.former is not None:
        over |= SESSION.c.hash == hash_of(request.former)
    connection.execute(delete(SESSION).where(over))
    connection.execute(
        insert(SESSION).values(
            hash=hash_of(secret),
            name=request.name,
            key=key_of(request.name),
            role=request.role.value,
            accounts=None if request.accounts is None else write_json(sorted(request.accounts)),
            way=request.way,
            address=request.address[:LONGEST_ADDRESS],
            created_at=now,
            seen_at=now,
            ends_at=now + LONGEST,
        )
    )
    actor = Actor(request.name, f"console {request.address}")
    after: Values = {"person": request.name, "role": request.role.value, "way": request.way}
    if request.subject is not None:
        after = {**after, "subject": request.subject}
    record(connection, store.database, actor, [Deed(act=Act.SIGN_IN, after=after)])
    return secret
