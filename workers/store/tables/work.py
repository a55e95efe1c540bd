"""What is to be done, and what has to be remembered for it."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import UtcTime


class Agenda(SQLModel, table=True):
    """What is to be done next, and when: the truth behind every doorbell. Narrow, because it changes all the time."""

    __table_args__ = (Index("ix_agenda_due", "stage", "lane", "due_at"),)

    stage: str = Field(primary_key=True, max_length=10)
    subject: str = Field(primary_key=True, max_length=90)  #: invoice id; DELIVER: ``endpoint/invoice``
    lane: str = Field(sa_type=String(64))  #: account or endpoint: lanes don't hold up each other
    due_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: the end of the lease while leased; NULL: parked
    lease_token: str | None = Field(default=None, sa_type=String(32))
    claims: int = Field(default=0)  #: without a completion: more than one means that a holder was lost
    pokes: int = Field(default=0)  #: never read: an upsert changes it, and so waits for a completion
    fence: int | None = Field(default=None, sa_type=BigInteger)  #: PUBLISH: grows with each claim of the stream's row


class DatabaseClock(SQLModel, table=True):
    """The one row about the database's clock: what it last said, and how far it was set."""

    __tablename__ = "clock"

    name: str = Field(primary_key=True, max_length=20)
    seen_at: datetime = Field(sa_type=UtcTime)  #: when a worker that counts seconds itself last found it right
    stepped_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: when it was last found to have been set
    stepped_by: int | None = Field(default=None, sa_type=BigInteger)  #: microseconds
    moving_by: int | None = Field(default=None, sa_type=BigInteger)  #: microseconds that waits are being moved by
    moved_to: str | None = Field(default=None, sa_type=Text)  #: the last row that was moved, as ``stage/subject``


class KeptAnswer(SQLModel, table=True):
    """A provider's answer to a create whose commit is held up: whoever takes the row over finds it here.

    Nothing refers to it and it refers to nothing: writing it waits for nobody's lock.
    """

    __tablename__ = "kept_answer"

    invoice_id: str = Field(primary_key=True, max_length=40)
    token: str = Field(primary_key=True, max_length=32)  #: of the lease that the call was made under
    kind: str = Field(sa_type=String(24))
    detail: str = Field(sa_type=Text)  #: JSON text of the evidence's fields
    raw: str | None = Field(default=None, sa_type=Text)  #: the provider's own words, bounded
    kept_at: datetime = Field(sa_type=UtcTime)


class Restoration(SQLModel, table=True):
    """A restore of the database from a backup. Events are numbered in the newest one's epoch."""

    epoch: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcTime)
