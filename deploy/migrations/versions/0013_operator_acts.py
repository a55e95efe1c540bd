"""What operators did: one row an act."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "operator_act",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(100), nullable=False),
        sa.Column("origin", sa.String(200), nullable=False),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("invoice_id", sa.String(40)),
        sa.Column("endpoint_id", sa.String(40)),
        sa.Column("account", sa.String(64)),
        sa.Column("callback_id", ROW_NUMBER),
        sa.Column("message_id", ROW_NUMBER),
        sa.Column("reason", sa.Text()),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
    )
    op.create_index("ix_operator_act_invoice", "operator_act", ["invoice_id", "id"])
    op.create_index("ix_operator_act_endpoint", "operator_act", ["endpoint_id", "id"])


def downgrade() -> None:
    op.drop_table("operator_act")
