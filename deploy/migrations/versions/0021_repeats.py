"""How often the same evidence was said again, and when at last: repeats are folded into the row that was kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("evidence", sa.Column("repeats", sa.Integer(), nullable=True))
    op.add_column("evidence", sa.Column("last_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("evidence", "last_at")
    op.drop_column("evidence", "repeats")
