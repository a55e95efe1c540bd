"""So are the payments that an earlier release kept, which wrote no lines."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

phase = "expand"

UNBOOKED = (
    "booked_at IS NULL AND folded = 0 AND"
    " (settled_status = 'partially_paid' OR settled_status = 'paid' OR settled_status = 'refunded' OR"
    " (source <> 'callback' AND (status = 'partially_paid' OR status = 'paid' OR status = 'refunded')))"
)


def upgrade() -> None:
    create_index("ix_payment_unbooked", "payment", ["first_seen_at", "id"], where=UNBOOKED)


def downgrade() -> None:
    drop_index("ix_payment_unbooked", "payment")
