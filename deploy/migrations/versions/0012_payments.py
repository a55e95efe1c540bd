"""Payments and refunds are rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "payment",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("invoice_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("total", sa.Text()),
        sa.Column("amount", sa.Text()),
        sa.Column("amount_told", sa.Integer(), nullable=False),
        sa.Column("asset", sa.String(64)),
        sa.Column("network", sa.Text()),
        sa.Column("tx_hash", sa.Text()),
        sa.Column("reference", sa.Text()),
        sa.Column("first_seen_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("folded", sa.Integer(), nullable=False),
        sa.Column("settled_status", sa.String(20)),
        sa.Column("settled_sequence", sa.Integer()),
        sa.Column("settled_event", sa.String(40)),
        sa.Column("settled_by", sa.String(16)),
        sa.Column("settled_at", TIME),
        sa.UniqueConstraint("invoice_id", "kind", "key", name="uq_payment_key"),
    )
    op.create_index("ix_payment_key", "payment", ["key"])


def downgrade() -> None:
    op.drop_table("payment")
