"""Connections, transactions and tables stay inside the store: nobody else can change a row on their own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = {"alembic", "psycopg", "sqlalchemy", "sqlite3", "sqlmodel"}
#: What opens a transaction or hands out what does.
OPENERS = {"engine", "glancing", "reading", "transaction"}
#: Tables stand in the store in capitals: AGENDA, DELIVERY, INVOICE and so on.
TABLES = {
    "AGENDA",
    "ATTEMPT",
    "CALLBACK",
    "DELIVERY",
    "ENDPOINT",
    "EVENT",
    "EVIDENCE",
    "INVOICE",
    "JOB",
    "KEPT",
    "LOG",
    "POSITION",
    "REJECTED",
    "RESTORATION",
    "TOKEN",
}


#: It ends a process before a statement, in tests only, and sends none.
FAULT_POINTS = ROOT / "workers" / "queue" / "fault_points.py"
#: The sandbox's own file, which is not the product's database.
SANDBOX_STATE = ROOT / "workers" / "embedded" / "sandbox" / "state.py"
SPARED = {FAULT_POINTS, SANDBOX_STATE}


def modules() -> list[Path]:
    found = sorted((ROOT / "workers").rglob("*.py"))
    return [path for path in found if not path.is_relative_to(ROOT / "workers" / "store") and path not in SPARED]


def breaches(source: str) -> list[str]:
    """What a module does that only the store may; imports for types count too."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"imports {one.name}" for one in node.names if one.name.partition(".")[0] in LIBRARIES]
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] in LIBRARIES:
                found.append(f"imports {module}")
            if module.startswith("workers.store"):
                found += [f"imports the table {one.name}" for one in node.names if one.name in TABLES]
        if isinstance(node, ast.Attribute) and node.attr in OPENERS:
            found.append(f"line {node.lineno}: .{node.attr}")
    return found


def test_no_module_outside_the_store_has_a_connection_or_a_table():
    found = {str(path.relative_to(ROOT)): breaches(path.read_text()) for path in modules()}
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import select",
        "import sqlmodel",
        "if TYPE_CHECKING:\n    from sqlalchemy import Connection",
        "def act(store):\n    with store.database.transaction() as connection: ...",
        "def read(database):\n    with database.reading() as connection: ...",
        "def raw(database):\n    return database.engine.raw_connection()",
        "from workers.store.outbox import DELIVERY",
    ],
)
def test_a_breach_is_seen(source):
    assert breaches(source)
