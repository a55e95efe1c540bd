"""Which invoices their provider holds up."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_invoice_held_up"


def upgrade() -> None:
    """Made outside the transaction, and anew where a kill came in between."""
    create_index(
        NAME,
        "invoice",
        ["status", "id"],
        where="refused_since IS NOT NULL OR create_tries <> 0 OR substr(evidence_digest, 1, 1) = '!'",
    )


def downgrade() -> None:
    drop_index(NAME, "invoice")
