"""Replays as jobs: what is to be sent once more, how far it is, and who works on it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, Table, Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import UtcTime


class ReplayJob(SQLModel, table=True):
    """Events on their way to an endpoint once more, batch by batch."""

    __tablename__ = "replay_job"

    id: str = Field(primary_key=True, max_length=40)  #: ``rpl_`` + uuid7 hex
    endpoint_id: str = Field(sa_type=String(40))
    event_id: str | None = Field(default=None, sa_type=String(40))  #: of the only one, where it was chosen by its id
    choice: str = Field(sa_type=Text)  #: JSON: types, since, until, dead_only
    by: str = Field(sa_type=String(100))
    origin: str = Field(sa_type=String(200))
    reason: str | None = Field(default=None, sa_type=Text)
    state: str = Field(sa_type=String(12))  #: running, done, failed
    total: int  #: events to send, when it was asked for
    sent: int
    done_number: int = Field(sa_type=BigInteger)  #: events up to this number are done
    last_number: int = Field(sa_type=BigInteger)  #: and up to this one it goes
    why: str | None = Field(default=None, sa_type=Text)  #: it failed
    created_at: datetime = Field(sa_type=UtcTime)
    leased_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: whoever works on it may do so until then
    finished_at: datetime | None = Field(default=None, sa_type=UtcTime)


JOB: Table = SQLModel.metadata.tables["replay_job"]
