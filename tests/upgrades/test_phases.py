"""A migration says what it is, and does nothing else: an expansion takes nothing away that workers may be using."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.upgrades.planted import plant
from workers.store.release import MIGRATIONS

TAKES_AWAY = frozenset({"drop_column", "drop_constraint", "drop_table", "alter_column", "rename_table"})
#: Plain statements, PostgreSQL's slow or locking forms included; an index goes through ``online_index``.
SLOW_SQL = ("DROP ", "RENAME ", "TRUNCATE ", " TYPE ", "SET NOT NULL", "CREATE INDEX", "CREATE UNIQUE INDEX")
SLOW_CALLS = frozenset({"create_index", "create_unique_constraint", "create_check_constraint", "create_foreign_key"})


def faults_of(path: Path) -> list[str]:
    """What is wrong with a migration's file, a sentence each."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    phase = constants.get("phase")
    if phase not in {"expand", "contract"}:
        return ['says no phase: phase = "expand" or phase = "contract"']
    if constants.get("down_revision") is None:
        return []  # the first tables: nobody is using them
    downgrade = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "downgrade"]
    skipped = {id(inner) for node in downgrade for inner in ast.walk(node)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in skipped]
    new_tables = {_text(call.args[0]) for call in calls if _name(call) == "create_table" and call.args}
    return [fault for call in calls for fault in _faults(call, str(phase), new_tables)]


def _faults(call: ast.Call, phase: str, new_tables: set[str]) -> list[str]:
    name, where = _name(call), _owner(call)
    sql = " ".join(_text(argument) for argument in call.args).upper() if name == "execute" else ""
    faults = []
    if name in SLOW_CALLS and where == "op" and not {_text(argument) for argument in call.args[1:2]} & new_tables:
        faults.append(f"{name}: holds up every writer of its table; an index is made by online_index.create_index")
    if phase == "expand" and (name in TAKES_AWAY or (name == "drop_index" and where == "op")):
        faults.append(f"{name}: takes away what workers of this release use; that is a contract")
    if phase == "contract" and name in {"add_column", "create_table"}:
        faults.append(f"{name}: adds something, that is an expand")
    if phase == "expand" and any(word in sql for word in SLOW_SQL):
        faults.append(f"execute: {sql[:60]} takes away, or holds up")
    if name == "add_column" and not _may_be_left_out(call):
        faults.append("add_column: workers of this release don't fill it: nullable, or with a server_default")
    return faults


def _may_be_left_out(call: ast.Call) -> bool:
    columns = [node for node in ast.walk(call) if isinstance(node, ast.Call) and _name(node) == "Column"]
    given = {key.arg: key.value for column in columns for key in column.keywords}
    nullable = given.get("nullable")
    return "server_default" in given or not (isinstance(nullable, ast.Constant) and nullable.value is False)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _owner(call: ast.Call) -> str:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    return owner.id if isinstance(owner, ast.Name) else ""


def _text(node: ast.AST) -> str:
    return " ".join(str(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Constant))


@pytest.mark.parametrize("path", sorted((MIGRATIONS / "versions").glob("*.py")), ids=lambda path: path.stem)
def test_a_migration_is_what_it_says(path):
    assert faults_of(path) == []


@pytest.mark.parametrize(
    ("phase", "body", "fault"),
    [
        ("", "pass", "says no phase"),
        ("later", "pass", "says no phase"),
        ("expand", 'op.drop_column("invoice", "reason")', "drop_column"),
        ("expand", 'op.alter_column("invoice", "reason", nullable=False)', "alter_column"),
        ("expand", 'op.execute("ALTER TABLE invoice DROP COLUMN reason")', "execute"),
        ("expand", 'op.add_column("invoice", sa.Column("risk", sa.Integer(), nullable=False))', "add_column"),
        ("expand", 'op.create_index("ix", "invoice", ["reason"])', "create_index"),
        ("expand", 'op.create_unique_constraint("uq", "invoice", ["reason"])', "create_unique_constraint"),
        ("contract", 'op.add_column("invoice", sa.Column("risk", sa.Integer()))', "add_column"),
    ],
)
def test_a_migration_that_is_something_else_is_found_out(tmp_path, phase, body, fault):
    folder = plant(tmp_path / "migrations", {"bad": (phase, f"    {body}")})
    (found,) = faults_of(folder / "versions" / "bad_planted.py")
    assert found.startswith(fault)


def test_an_index_on_a_table_of_the_same_migration_is_nobodys_trouble(tmp_path):
    body = """
    op.create_table("note", sa.Column("id", sa.Integer(), primary_key=True))
    op.create_index("ix_note", "note", ["id"])
    """
    folder = plant(tmp_path / "migrations", {"good": ("expand", body)})
    assert faults_of(folder / "versions" / "good_planted.py") == []


def test_the_planted_migrations_keep_the_rules_too(planted):
    assert [fault for path in (planted / "versions").glob("*.py") for fault in faults_of(path)] == []
