"""Migrations of releases that are not there yet, planted on top of the project's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from workers.store.release import MIGRATIONS
from workers.store.schema import revisions

HEADER = '''"""Planted by a test."""

import sqlalchemy as sa
from alembic import op

from workers.store import online_index

revision = "{revision}"
down_revision = "{below}"
phase = "{phase}"


def upgrade():
{body}
'''

EXPAND = """
    op.add_column("invoice", sa.Column("risk", sa.Integer(), server_default="7", nullable=False))
    op.add_column("invoice", sa.Column("note", sa.Text()))
"""
INDEX = """
    online_index.create_index("ix_invoice_risk", "invoice", ["risk", "id"], where="risk > 7")
"""
CONTRACT = """
    with op.batch_alter_table("invoice") as table:
        table.drop_column("note")
"""
#: The next release's expansion and index, and a contraction of the one after it.
NEXT, _NEXT_INDEX, AFTER_NEXT = "9001", "9002", "9003"
NEXT_RELEASES = {
    NEXT: ("expand", EXPAND),
    _NEXT_INDEX: ("expand", INDEX),
    AFTER_NEXT: ("contract", CONTRACT),
}


def plant(folder: Path, migrations: Mapping[str, tuple[str, str]] = NEXT_RELEASES) -> Path:
    """Copy the project's migrations to ``folder`` and add ``{revision: (phase, body of upgrade)}`` on top."""
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    below = revisions()[-1]
    for revision, (phase, body) in migrations.items():
        text = HEADER.format(revision=revision, below=below, phase=phase, body=body.strip("\n"))
        (folder / "versions" / f"{revision}_planted.py").write_text(text)
        below = revision
    return folder
