"""What a row is called outside the store."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import Row

#: A row as it was read: the table's columns as attributes, amounts as Decimal, times in UTC.
StoredRow: TypeAlias = Row[*tuple[Any, ...]]
