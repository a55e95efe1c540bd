"""The trace that an order belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("invoice", sa.Column("trace", sa.Text()))


def downgrade() -> None:
    op.drop_column("invoice", "trace")
