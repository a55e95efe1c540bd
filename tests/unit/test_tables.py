"""Each table is declared once, as a class; the constant that statements are made of is written from it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sqlalchemy import Table
from sqlmodel import SQLModel

import workers.store.tables
from tests.plain_tables import FOLDER, written
from workers.store.tables import INVOICE
from workers.store.tables.classes import CLASSES
from workers.store.tables.invoices import Invoice

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "workers" / "store" / "tables"
MODULES = [
    path
    for room in ("config", "domain", "workers")
    for path in sorted((ROOT / room).rglob("*.py"))
    if not path.is_relative_to(TABLES)
]


def declares(source: str) -> list[str]:
    """Classes of tables, and other ways to a table than by its constant."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and any(one.arg == "table" for one in node.keywords):
            found.append(f"the class {node.name}")
        if isinstance(node, ast.Attribute) and node.attr in {"__table__", "tables"}:
            found.append(f"line {node.lineno}: .{node.attr}")
    return found


def test_every_table_has_one_constant():
    constants = {name: value for name, value in vars(workers.store.tables).items() if isinstance(value, Table)}
    classes = [one for one in SQLModel.__subclasses__() if one.__module__.startswith("workers.")]
    assert set(CLASSES.values()) == set(classes)
    assert {name: table.name for name, table in constants.items()} == {
        name: str(one.__tablename__) for name, one in CLASSES.items()
    }


def test_the_constants_are_what_the_classes_declare():
    there = {path.name: path.read_text() for path in FOLDER.glob("*.py")}
    assert there == written(), "run `.venv/bin/python -m tests.plain_tables`"
    assert [column.name for column in INVOICE.columns] == list(Invoice.model_fields)


def test_tables_are_declared_nowhere_else():
    found = {str(path.relative_to(ROOT)): declares(path.read_text()) for path in MODULES}
    assert {path: breaches for path, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize(
    "source",
    [
        "class Row(SQLModel, table=True):\n    id: int",
        "ROW = Row.__table__",
        "ROW = SQLModel.metadata.tables['row']",
    ],
)
def test_another_way_is_seen(source):
    assert declares(source)
