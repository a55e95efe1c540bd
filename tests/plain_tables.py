"""Writes `workers/store/tables/plain.py` from the tables' classes: ``python -m tests.plain_tables``."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, String, Table
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString

from workers.store.tables.classes import CLASSES

PATH = Path(__file__).parents[1] / "workers" / "store" / "tables" / "plain.py"
HEAD = '''"""The plain tables that statements are made of: columns and primary keys, without indexes.

Written from the classes by `python -m tests.plain_tables`; a test compares the two. Commands that only read import no
SQLModel: that would take longer than all the rest of them.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from workers.store.tables.columns import ExactAmount, RowNumber, UtcTime

__all__ = [
    {names},
]

_PLAIN = MetaData()
'''


def written() -> str:
    """The file's text."""
    tables = ((name, model.metadata.tables[str(model.__tablename__)]) for name, model in CLASSES.items())
    names = ",\n    ".join(f'"{name}"' for name in sorted(CLASSES))
    return HEAD.format(names=names) + "".join(_table(name, table) for name, table in tables)


def _table(name: str, table: Table) -> str:
    columns = "".join(f"    {_column(column)},\n" for column in table.columns)
    return f'\n{name}: Final = Table(\n    "{table.name}",\n    _PLAIN,\n{columns})\n'


def _column(column: Column[object]) -> str:
    given = [f'"{column.name}"', _type(column.type)]
    if column.primary_key:
        given.append("primary_key=True")
    elif not column.nullable:
        given.append("nullable=False")
    if column.autoincrement != "auto":
        given.append(f"autoincrement={column.autoincrement!r}")
    if isinstance(column.default, ScalarElementColumnDefault):
        value = column.default.arg
        given.append("default=" + (f'"{value}"' if isinstance(value, str) else repr(value)))
    return f"Column({', '.join(given)})"


def _type(kind: TypeEngine[object]) -> str:
    if kind._variant_mapping:
        return "RowNumber"
    plain = kind.impl_instance if isinstance(kind, AutoString) else kind
    return f"String({plain.length})" if type(plain) is String else type(plain).__name__


if __name__ == "__main__":
    PATH.write_text(written(), encoding="utf-8")
