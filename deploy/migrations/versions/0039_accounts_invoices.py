"""Each account's invoices in the order of their making: the first since a time, however many others were made."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    create_index("ix_invoice_made", "invoice", ["provider_account", "id"], where="provider_ref IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_invoice_made", "invoice")
