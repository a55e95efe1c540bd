"""Whose an address is."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_invoice_address"


def upgrade() -> None:
    """On PostgreSQL by its hash: an address may be longer than an ordered index takes."""
    create_index(NAME, "invoice", ["address"], where="address IS NOT NULL", using="hash")


def downgrade() -> None:
    drop_index(NAME, "invoice")
