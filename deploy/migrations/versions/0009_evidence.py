"""Who said a piece of evidence, and what is wrong with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("evidence", sa.Column("source", sa.String(16), nullable=True))
    op.add_column("evidence", sa.Column("note", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("evidence", "note")
    op.drop_column("evidence", "source")
