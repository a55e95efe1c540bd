"""Failed sign-ins are counted for all web processes together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.create_table(
        "console_attempt",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_console_attempt_until", "console_attempt", ["until"])


def downgrade() -> None:
    op.drop_table("console_attempt")
