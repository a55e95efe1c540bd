"""So are the payments that an earlier release kept, which wrote no lines."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

phase = "expand"

CERTAIN = "('partially_paid', 'paid', 'refunded')"
UNBOOKED = (
    f"booked_at IS NULL AND folded = 0 AND (settled_status IN {CERTAIN} OR"
    f" (source <> 'callback' AND status IN {CERTAIN}))"
)


def upgrade() -> None:
    create_index("ix_payment_unbooked", "payment", ["first_seen_at", "id"], where=UNBOOKED)


def downgrade() -> None:
    drop_index("ix_payment_unbooked", "payment")
