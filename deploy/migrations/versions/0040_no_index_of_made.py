"""No index of each account's invoices in the order of their making: every change of an invoice was written to it, and
only the doctor and an account's page asked it."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

phase = "contract"


def upgrade() -> None:
    drop_index("ix_invoice_made", "invoice")


def downgrade() -> None:
    create_index("ix_invoice_made", "invoice", ["provider_account", "id"], where="provider_ref IS NOT NULL")
