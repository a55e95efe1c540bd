"""Orders whose account is turned away."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_invoice_refused"


def upgrade() -> None:
    create_index(NAME, "invoice", ["status", "provider_account"], where="refused_since IS NOT NULL")


def downgrade() -> None:
    drop_index(NAME, "invoice")
