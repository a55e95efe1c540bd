"""The other accounts that are left to try, of an order that came with some."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("invoice", sa.Column("fallbacks", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("invoice", "fallbacks")
