"""The types of rows that are read: the library knows none for columns that are looked up by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sqlalchemy import CursorResult, Row, Select

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

#: The execution option of a statement that reads events' bodies, or many times: PostgreSQL sends its rows in binary. As
#: text, each byte would be two hexadecimal digits, at three times the cost.
BINARY = "invoices_binary"
#: The execution option of a statement that PostgreSQL plans anew each time: a plan that it keeps would be wrong later.
UNPREPARED = "invoices_unprepared"

#: A row as it was read: the table's columns as attributes, amounts as Decimal, times in UTC.
StoredRow: TypeAlias = Row[*tuple[Any, ...]]
#: What an execution returns.
Rows: TypeAlias = CursorResult[*tuple[Any, ...]]


class Found(Protocol):
    """As much of that as hot paths use."""

    @property
    def rowcount(self) -> int:
        """Rows that were found or changed."""

    def all(self) -> Sequence[StoredRow]:
        """Every row."""

    def scalars(self) -> Iterable[Any]:
        """The first column."""

    def mappings(self) -> Iterable[Mapping[Any, Any]]:
        """Every row by its columns' names."""

    def one(self) -> StoredRow:
        """The only row."""

    def keys(self) -> Iterable[str]:
        """The columns' names."""

    def __iter__(self) -> Iterator[StoredRow]: ...


#: A SELECT that is still being built.
Query: TypeAlias = Select[*tuple[Any, ...]]
#: An INSERT that knows ON CONFLICT.
Insert: TypeAlias = "PostgresqlInsert | SqliteInsert"


class Placed(Protocol):
    """A row that is locked, and where PostgreSQL keeps it."""

    place: str | None


class LockedRow(Placed, Protocol):
    """An agenda row that is locked."""

    stage: str
    subject: str
    lane: str
    claims: int
    lease_token: str | None


class PairRow(Placed, Protocol):
    """The locked agenda row of an (endpoint, invoice) pair."""

    subject: str
    lease_token: str | None
    parked: bool


class Candidate(Protocol):
    """An invoice that a callback may be about."""

    id: str
    order_id: str
    provider_account: str
    status: str
    doubts: int
    created_at: datetime
    provider_ref: str | None
    asked_by: str | None
    twins: str | None


class KeyedInvoice(Protocol):
    """What recognises an order: the invoice of its key, and the digest of its content."""

    id: str
    account: str
    idempotency_key: str
    digest: str
