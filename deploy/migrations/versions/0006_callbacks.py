"""Callbacks of providers, and what an invoice remembers of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)

INVOICE = (
    ("asked_by", sa.Text()),
    ("called_status", sa.String(20)),
    ("called_word", sa.String(64)),
    ("called_amount", sa.Text()),
    ("called_currency", sa.String(64)),
    ("called_only", sa.Integer()),
    ("called_at", TIME),
    ("called_looks", sa.Integer()),
)


def upgrade() -> None:
    op.create_table(
        "callback",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("order_id", sa.String(255)),
        sa.Column("reference", sa.String(255)),
        sa.Column("word", sa.String(64)),
        sa.Column("amount", sa.Text()),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("invoice_id", sa.String(40)),
        sa.Column("reason", sa.Text()),
        sa.UniqueConstraint("account", "digest", name="uq_callback_digest"),
    )
    op.create_index("ix_callback_order", "callback", ["account", "order_id"])
    op.create_index("ix_callback_reference", "callback", ["account", "reference"])
    op.create_index("ix_callback_state", "callback", ["state", "id"])
    for name, kind in INVOICE:
        op.add_column("invoice", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name, _ in INVOICE:
        op.drop_column("invoice", name)
    op.drop_table("callback")
