"""Access tokens: what each may do and see. Of the secret only its hash is kept; it has 256 random bits, so SHA-256 is
enough. Changed by ``operate/tokens.py``."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, String, Table, Text, select, update
from sqlmodel import Field, SQLModel

from domain.exact_json import read_json
from domain.permissions import Scope
from workers.store.database import Database
from workers.store.rows import StoredRow
from workers.store.tables.columns import ExactAmount, UtcTime

LONGEST_NAME = 100
#: When a token was last used is written this often at most.
NOTE_EVERY = timedelta(minutes=1)


class AccessToken(SQLModel, table=True):
    """A token of the HTTP interface."""

    __tablename__ = "access_token"

    id: str = Field(primary_key=True, max_length=40)  #: ``tok_`` + uuid7 hex: the part before the token's point
    name: str = Field(sa_type=String(LONGEST_NAME))
    scopes: str = Field(sa_type=String(100))  #: comma-separated
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list; NULL: all
    hash: str = Field(sa_type=String(64))  #: SHA-256 of the secret, hex
    per_second: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: requests; NULL: as many as come
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: to the minute


TOKEN: Table = SQLModel.metadata.tables["access_token"]


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
        """Whether it counts: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def has_secret(self, secret: str) -> bool:
        """Whether this is its secret; in constant time."""
        return hmac.compare_digest(self.hash, hash_of(secret))


def hash_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def find_tokens(database: Database, ids: Sequence[str]) -> tuple[datetime, dict[str, Token]]:
    """The database's time, and the tokens with these ids."""
    with database.glancing() as connection:
        rows = connection.execute(select(TOKEN).where(TOKEN.c.id.in_(sorted(set(ids))))).all()
        return database.now(connection), {row.id: _token(row) for row in rows}


def list_tokens(connection: Connection) -> list[Token]:
    """Every token, oldest first."""
    return [_token(row) for row in connection.execute(select(TOKEN).order_by(TOKEN.c.id))]


def note_use(database: Database, ids: Sequence[str]) -> None:
    """These are being used now."""
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
