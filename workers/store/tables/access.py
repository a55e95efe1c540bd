"""Tables of the HTTP interface: tokens, and replays as jobs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, String, Text
from sqlmodel import Field, SQLModel

from workers.store.tables.columns import LONGEST_NAME, LONGEST_ORIGIN, ExactAmount, UtcTime


class AccessToken(SQLModel, table=True):
    """A token of the HTTP interface."""

    __tablename__ = "access_token"

    id: str = Field(primary_key=True, max_length=40)  #: ``tok_`` + uuid7 hex: the part before the token's point
    name: str = Field(sa_type=String(LONGEST_NAME))
    scopes: str = Field(sa_type=String(100))  #: comma-separated
    accounts: str | None = Field(default=None, sa_type=Text)  #: JSON list; NULL: all
    hash: str = Field(sa_type=String(64))  #: SHA-256 of the secret, hex
    per_second: Decimal | None = Field(default=None, sa_type=ExactAmount)  #: requests; NULL: no limit
    created_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcTime)  #: to the minute


class ReplayJob(SQLModel, table=True):
    """Events on their way to an endpoint once more, batch by batch."""

    __tablename__ = "replay_job"

    id: str = Field(primary_key=True, max_length=40)  #: ``rpl_`` + uuid7 hex
    endpoint_id: str = Field(sa_type=String(40))
    event_id: str | None = Field(default=None, sa_type=String(40))  #: of a single event that was chosen by its id
    choice: str = Field(sa_type=Text)  #: JSON: types, since, until, dead_only, missed_only, newest_only
    by: str = Field(sa_type=String(LONGEST_NAME))
    origin: str = Field(sa_type=String(LONGEST_ORIGIN))
    reason: str | None = Field(default=None, sa_type=Text)
    state: str = Field(sa_type=String(12))  #: running, done, failed
    total: int  #: events to send, when it was asked for
    sent: int
    done_number: int = Field(sa_type=BigInteger)  #: events up to this number are done
    last_number: int = Field(sa_type=BigInteger)  #: the last event of the job
    why: str | None = Field(default=None, sa_type=Text)  #: why it failed
    created_at: datetime = Field(sa_type=UtcTime)
    leased_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: somebody works on it until then
    finished_at: datetime | None = Field(default=None, sa_type=UtcTime)


class BulkJob(SQLModel, table=True):
    """An act on every invoice that matches a filter, batch by batch."""

    __tablename__ = "bulk_job"

    id: str = Field(primary_key=True, max_length=40)  #: ``job_`` + uuid7 hex
    kind: str = Field(sa_type=String(20))  #: cancel, recheck, create_again, mark, replay
    selection: str = Field(sa_type=Text)  #: JSON: the filter, within what its person sees, as of when it was asked for
    query: str = Field(sa_type=Text)  #: the filter as it stood in the address
    options: str = Field(sa_type=Text)  #: JSON: status and amount of a mark; endpoint and newest_only of a replay
    by: str = Field(sa_type=String(100))
    origin: str = Field(sa_type=String(200))
    reason: str | None = Field(default=None, sa_type=Text)
    state: str = Field(sa_type=String(12))  #: running, paused, done, stopped, failed
    foreseen: int  #: invoices that matched when it was asked for, counted up to a limit
    more: int  #: 1: there were more than were counted
    done: int = 0
    skipped: int = 0  #: they matched no longer when it was their turn
    failed: int = 0
    events: int = 0  #: that were sent
    cursor: str | None = Field(default=None, sa_type=String(40))  #: invoices from this id on are dealt with
    failures: str = Field(sa_type=Text)  #: JSON: the first of them: invoice, order, why
    why: str | None = Field(default=None, sa_type=Text)  #: it failed
    created_at: datetime = Field(sa_type=UtcTime)
    worked_at: datetime = Field(sa_type=UtcTime)  #: at last; of several the one that waits for longest goes on
    leased_until: datetime | None = Field(default=None, sa_type=UtcTime)  #: whoever works on it may do so until then
    lease_token: str | None = Field(default=None, sa_type=String(32))
    finished_at: datetime | None = Field(default=None, sa_type=UtcTime)


class BulkFailure(SQLModel, table=True):
    """An invoice that a job could do nothing with. Kept as long as the job."""

    __tablename__ = "bulk_failure"

    job_id: str = Field(primary_key=True, max_length=40)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})  #: within the job, from 1
    invoice_id: str = Field(sa_type=String(40))
    order_id: str = Field(sa_type=String(128))
    why: str = Field(sa_type=Text)
