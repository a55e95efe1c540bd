"""Who uses the console: people with a password, sessions, one-time links, failed sign-ins."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import LONGEST_NAME, UtcTime


class ConsolePerson(SQLModel, table=True):
    """Somebody who signs in with a password."""

    __tablename__ = "console_person"
    __table_args__ = (Index("ux_console_person_key", "key", unique=True),)

    id: str = Field(primary_key=True, max_length=40)  #: ``usr_`` + uuid7 hex
    name: str = Field(sa_type=String(LONGEST_NAME))  #: as it was given
    key: str = Field(sa_type=String(2 * LONGEST_NAME))  #: the name without differences of case and form
    role: str = Field(sa_type=String(12))
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list; NULL: all
    password: str = Field(sa_type=String(200))  #: argon2id, with its parameters and salt
    created_at: datetime = Field(sa_type=UtcTime)
    changed_at: datetime = Field(sa_type=UtcTime)  #: role, accounts or password


class ConsoleSession(SQLModel, table=True):
    """Somebody who has signed in, in one browser. Ended ones are removed."""

    __tablename__ = "console_session"
    __table_args__ = (
        Index("ix_console_session_key", "key"),
        Index("ix_console_session_ends", "ends_at"),
    )

    hash: str = Field(primary_key=True, max_length=64)  #: SHA-256 of the secret in the browser's cookie, hex
    name: str = Field(sa_type=String(LONGEST_NAME))
    key: str = Field(sa_type=String(2 * LONGEST_NAME))
    role: str = Field(sa_type=String(12))  #: as it was at the sign-in: a change ends the session
    accounts: str | None = Field(default=None, sa_type=Text)
    way: str = Field(sa_type=String(12))  #: password, oidc, link
    address: str = Field(sa_type=String(64))  #: where the sign-in came from
    created_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)  #: to the minute
    ends_at: datetime = Field(sa_type=UtcTime)  #: whatever is done until then


class ConsoleLink(SQLModel, table=True):
    """A link that signs in once. Removed when it is used."""

    __tablename__ = "console_link"

    hash: str = Field(primary_key=True, max_length=64)  #: SHA-256 of the link's secret, hex
    name: str = Field(sa_type=String(LONGEST_NAME))  #: who asked for it, and who signs in by it
    created_at: datetime = Field(sa_type=UtcTime)
    ends_at: datetime = Field(sa_type=UtcTime)


class ConsoleAttempt(SQLModel, table=True):
    """What was tried at the sign-in, by a name or from an address. Removed when it counts no more."""

    __tablename__ = "console_attempt"
    __table_args__ = (Index("ix_console_attempt_until", "until"),)

    key: str = Field(primary_key=True, max_length=64)  #: SHA-256 of whose attempts they are, hex
    until: datetime = Field(sa_type=UtcTime)  #: then all of them are forgotten
