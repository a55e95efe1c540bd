"""Writes `workers/store/tables/plain` from the tables' classes, a file for each of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import Column, String, Table
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import AutoString

from workers.store.tables.classes import CLASSES

FOLDER = Path(__file__).parents[1] / "workers" / "store" / "tables" / "plain"
HEAD = '''"""The plain tables that statements are made of: columns and primary keys, without indexes.

Written from the classes by `python -m tests.plain_tables`; a test compares the two. Commands that only read import no
SQLModel: that would take longer than all the rest of them.
"""

'''
PART = '''"""Of ``tables/{name}.py``, written by `python -m tests.plain_tables`."""

from typing import Final

from sqlalchemy import {kinds}

{own}{tables}'''
OWN = ("ExactAmount", "RowNumber", "UtcTime")  #: kinds of columns of our own
CATALOGUE = "PLAIN"  #: one of all tables: `invoices move` asks it for them


def written() -> Mapping[str, str]:
    """Name of a file -> its text."""
    parts: dict[str, dict[str, str]] = {}
    for name, model in CLASSES.items():
        part = model.__module__.rpartition(".")[2]
        table = model.metadata.tables[str(model.__tablename__)]
        parts.setdefault(part, {})[name] = _table(name, table)
    files = {f"{part}.py": _part(part, "".join(tables.values())) for part, tables in sorted(parts.items())}
    imports = "".join(_import(f"workers.store.tables.plain.{part}", parts[part]) for part in sorted(parts))
    names = ",\n    ".join(f'"{name}"' for name in sorted(CLASSES))
    return {"__init__.py": f"{HEAD}{imports}\n__all__ = [\n    {names},\n]\n", **files}


def _part(name: str, tables: str) -> str:
    used = set(re.findall(r"\b[A-Z][a-z]\w+", tables)) - {"Final", "True", "False"}
    kinds = ", ".join(sorted(used - set(OWN)))
    own = _import("workers.store.tables.columns", {CATALOGUE} | used & set(OWN))
    return PART.format(name=name, kinds=kinds, own=own, tables=tables)


def _import(module: str, names: Iterable[str]) -> str:
    return f"from {module} import {', '.join(sorted(names, key=lambda name: (not name.isupper(), name)))}\n"


def _table(name: str, table: Table) -> str:
    columns = "".join(f"    {_column(column)},\n" for column in table.columns)
    return f'\n{name}: Final = Table(\n    "{table.name}",\n    {CATALOGUE},\n{columns})\n'


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
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.py"):
        file.unlink()
    for name, content in written().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
