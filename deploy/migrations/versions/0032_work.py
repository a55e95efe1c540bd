"""What workers did of late, for who counts how many are needed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("process_seen", sa.Column("work", sa.Text()))


def downgrade() -> None:
    op.drop_column("process_seen", "work")
