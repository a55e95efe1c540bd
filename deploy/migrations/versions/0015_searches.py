"""Of an order in doubt: when its last call was counted, how it was searched for since, and other invoices it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

phase = "expand"

COLUMNS = {
    "doubted_at": sa.DateTime(timezone=True),
    "searches": sa.Integer(),
    "search_failures": sa.Integer(),
    "sought": sa.Integer(),
    "twins": sa.Text(),
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("invoice", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column("invoice", name)
