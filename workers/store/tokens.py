"""Access tokens: what each may do and see. Only a hash of the secret is kept: it has 256 random bits, so SHA-256 is
enough. Tokens are changed by ``operate/tokens.py``."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, Executable, select, update

from domain.exact_json import read_json
from domain.permissions import Scope
from workers.store.bulk import execute_keyed, keyed
from workers.store.database import Database, with_now
from workers.store.rows import StoredRow
from workers.store.tables import TOKEN

#: How often, at most, it is written when a token was last used.
NOTE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept. ``accounts`` None: every account's."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    accounts: frozenset[str] | None
    hash: str = field(repr=False)
    per_second: Decimal | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def has_secret(self, secret: str) -> bool:
        """Whether this is its secret. Takes the same time for any."""
        return hmac.compare_digest(self.hash, hash_of(secret))


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def find_tokens(database: Database, ids: Sequence[str]) -> tuple[datetime, dict[str, Token]]:
    """The database's time, and the tokens with these ids."""
    with database.glancing() as connection:
        rows = execute_keyed(connection, _by_id, ("id",), [(one,) for one in sorted(set(ids))]).all()
        return database.now_of(connection, rows), {row.id: _token(row) for row in rows}


@functools.cache
def _by_id(dialect: str) -> Executable:
    return with_now(dialect, select(TOKEN).where(keyed(dialect, TOKEN.c.id)))


def list_tokens(connection: Connection) -> list[Token]:
    """Every token, oldest first."""
    return [_token(row) for row in connection.execute(select(TOKEN).order_by(TOKEN.c.id))]


def newest_tokens(connection: Connection, limit: int) -> list[Token]:
    """So many tokens at most, the newest first."""
    return [_token(row) for row in connection.execute(select(TOKEN).order_by(TOKEN.c.id.desc()).limit(limit))]


def note_use(database: Database, ids: Sequence[str]) -> None:
    """Note that these are being used now."""
    with database.transaction() as connection:
        now = database.now(connection)
        stale = TOKEN.c.last_used_at.is_(None) | (TOKEN.c.last_used_at < now - NOTE_EVERY)
        used = update(TOKEN).where(TOKEN.c.id.in_(sorted(set(ids))), stale)
        connection.execute(used.values(last_used_at=now))


def _token(row: StoredRow) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        scopes=tuple(Scope(one) for one in row.scopes.split(",")),
        accounts=None if row.accounts is None else frozenset(read_json(row.accounts)),
        hash=row.hash,
        per_second=row.per_second,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
