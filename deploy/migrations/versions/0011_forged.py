"""The newest forged callbacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "forged_callback",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account", sa.String(64)),
        sa.Column("why", sa.String(255), nullable=False),
        sa.Column("client", sa.String(64)),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("forged_callback")
