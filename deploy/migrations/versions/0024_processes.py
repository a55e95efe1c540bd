"""Which processes run, as they write themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.create_table(
        "process_seen",
        sa.Column("role", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True)),
        sa.Column("accounts", sa.Text()),
    )


def downgrade() -> None:
    op.drop_table("process_seen")
