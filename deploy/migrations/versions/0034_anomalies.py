"""Invoices with something unusual about their payment, for who looks for those: they are few."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    create_index("ix_invoice_anomaly", "invoice", ["id"], where="anomaly IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_invoice_anomaly", "invoice")
