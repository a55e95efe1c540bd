"""What the database's clock last said, and the stream's fence: a counter, for clocks are set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

phase = "expand"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("agenda", sa.Column("fence", sa.BigInteger(), nullable=True))
    op.create_table(
        "clock",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("stepped_at", TIME),
        sa.Column("stepped_by", sa.BigInteger()),
        sa.Column("moving_by", sa.BigInteger()),
        sa.Column("moved_to", sa.Text()),
    )


def downgrade() -> None:
    op.drop_table("clock")
    op.drop_column("agenda", "fence")
