"""Types of columns that mean the same on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from domain.money import format_amount

#: The catalogue of all plain tables: `invoices move` asks it for them.
PLAIN = MetaData()

#: Characters of a process's name, of an actor's, and of an act's origin.
LONGEST_PROCESS, LONGEST_NAME, LONGEST_ORIGIN = 200, 100, 200


def _read_amount(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


class ExactAmount(TypeDecorator[Decimal]):
    """A decimal kept as its text on every database: SQLite's numeric columns go through floats."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else format_amount(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], Decimal | None]:
        """Amounts are read often: SQLAlchemy's own layer would cost more than the reading."""
        return _read_amount


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("a time without a zone must not reach the database")
    return value


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time with microseconds on every database (SQLite keeps it as sortable text)."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], object] | None:
        """Times are written often: on PostgreSQL they are only checked."""
        return _aware if dialect.name == "postgresql" else super().bind_processor(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        value = _aware(value)
        return value if value is None or dialect.name == "postgresql" else value.astimezone(UTC).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[object], datetime | None] | None:
        """None for PostgreSQL: what it sends has the session's zone, UTC."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: A growing row number on both databases (SQLite counts up only a plain INTEGER key).
RowNumber = BigInteger().with_variant(Integer, "sqlite")
