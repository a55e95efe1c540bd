"""The console's people and their sessions as they are kept. Changed by ``operate/people.py`` and
``operate/sessions.py``."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, Executable, select, update

from domain.exact_json import read_json
from domain.permissions import Role
from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.tables import PERSON, SESSION
from workers.store.tables.columns import LONGEST_NAME
from workers.store.tokens import hash_of

#: A session ends after this long without a request, and this long after its sign-in in any case.
IDLE, LONGEST = timedelta(hours=2), timedelta(hours=12)
#: When a session was last used is written this often at most.
NOTE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signs in with a password. ``accounts`` None: sees every account."""

    id: str
    name: str
    role: Role
    accounts: frozenset[str] | None
    password: str = field(repr=False)
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in, in one browser."""

    hash: str = field(repr=False)
    name: str
    role: Role
    accounts: frozenset[str] | None
    way: str
    address: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether it still counts."""
        return now < min(self.ends_at, self.seen_at + IDLE)


def key_of(name: str) -> str:
    """What names are told apart by: neither case nor the way a letter is composed. Raises ValueError for a name that
    nobody can have."""
    key = unicodedata.normalize("NFKC", name.strip()).casefold()
    if not key or len(name) > LONGEST_NAME or len(key) > 2 * LONGEST_NAME:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters")
    return key


def find_user(connection: Connection, key: str) -> User | None:
    """The one with this key."""
    row = connection.execute(select(PERSON).where(PERSON.c.key == key)).first()
    return None if row is None else user_of(row)


def find_user_by_id(connection: Connection, user_id: str) -> User | None:
    """The one with this id."""
    row = connection.execute(select(PERSON).where(PERSON.c.id == user_id)).first()
    return None if row is None else user_of(row)


def has_users(connection: Connection) -> bool:
    """Whether anybody can sign in with a password."""
    return connection.execute(select(PERSON.c.id).limit(1)).first() is not None


def list_users(connection: Connection, limit: int | None = None) -> list[User]:
    """Everybody, by name; at most ``limit``."""
    return [user_of(row) for row in connection.execute(select(PERSON).order_by(PERSON.c.key).limit(limit))]


def list_sessions(connection: Connection, now: datetime, limit: int | None = None) -> list[Session]:
    """Those that count, by name, the newest first; at most ``limit``."""
    live = select(SESSION).where(SESSION.c.ends_at > now, SESSION.c.seen_at > now - IDLE)
    ordered = live.order_by(SESSION.c.key, SESSION.c.created_at.desc()).limit(limit)
    return [_session(row) for row in connection.execute(ordered)]


def sessions_of(connection: Connection, now: datetime, key: str) -> list[Session]:
    """Those of a name that count, the newest first."""
    live = select(SESSION).where(SESSION.c.key == key, SESSION.c.ends_at > now, SESSION.c.seen_at > now - IDLE)
    return [_session(row) for row in connection.execute(live.order_by(SESSION.c.created_at.desc()))]


def find_sessions(database: Database, secrets: Sequence[str]) -> tuple[datetime, dict[str, Session]]:
    """The database's time, and the sessions with these secrets, by them."""
    by_hash = {hash_of(secret): secret for secret in secrets}
    with database.glancing() as connection:
        rows = execute_keyed(connection, _by_hash, ("hash",), [(one,) for one in sorted(by_hash)]).all()
        return database.now(connection), {by_hash[row.hash]: _session(row) for row in rows}


@functools.cache
def _by_hash(dialect: str) -> Executable:
    return select(SESSION).where(keyed(dialect, SESSION.c.hash))


def note_seen(database: Database, secret: str) -> None:
    """It is being used now."""
    with database.transaction() as connection:
        now = database.now(connection)
        stale = (SESSION.c.hash == hash_of(secret)) & (SESSION.c.seen_at < now - NOTE_EVERY)
        connection.execute(update(SESSION).where(stale).values(seen_at=now))


def user_of(row: StoredRow) -> User:
    """A row as the rest of the program knows it."""
    return User(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        accounts=_accounts(row.accounts),
        password=row.password,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def _session(row: StoredRow) -> Session:
    return Session(
        hash=row.hash,
        name=row.name,
        role=Role(row.role),
        accounts=_accounts(row.accounts),
        way=row.way,
        address=row.address,
        created_at=row.created_at,
        seen_at=row.seen_at,
        ends_at=row.ends_at,
    )


def _accounts(kept: str | None) -> frozenset[str] | None:
    return None if kept is None else frozenset(read_json(kept))
