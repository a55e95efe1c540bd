"""What providers' answers had that they never had before, and which invoices' answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "provider_drift",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("call", sa.String(20), nullable=False),
        sa.Column("field", sa.String(120), nullable=False),
        sa.Column("value", sa.String(40), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("accepted_at", TIME, nullable=True),
        sa.UniqueConstraint("account", "kind", "call", "field", "value", name="uq_provider_drift"),
    )
    op.create_table(
        "drift_invoice",
        sa.Column("drift_id", ROW_NUMBER, primary_key=True, autoincrement=False),
        sa.Column("invoice_id", sa.String(40), primary_key=True),
        sa.Column("at", TIME, nullable=False),
    )
    op.create_index("ix_drift_invoice", "drift_invoice", ["invoice_id"])


def downgrade() -> None:
    op.drop_table("drift_invoice")
    op.drop_table("provider_drift")
