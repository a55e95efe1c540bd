"""Endpoints by what they want: an index for each type of event, so that a change asks those that want it only."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

phase = "expand"

TYPES = (
    "cancelled",
    "confirming",
    "contradiction",
    "expired",
    "failed",
    "paid",
    "partially_paid",
    "pending",
    "refunded",
)


def upgrade() -> None:
    """Nothing else: each index is made outside the transaction, and all anew where a kill came in between."""
    for name in TYPES:
        wanted = f"events IS NULL OR events LIKE '%invoice.{name}%'"
        create_index(f"ix_endpoint_invoice_{name}", "endpoint", ["id"], where=wanted)


def downgrade() -> None:
    for name in TYPES:
        drop_index(f"ix_endpoint_invoice_{name}", "endpoint")
