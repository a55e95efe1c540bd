"""The books are read in the order of their lines."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    create_index("ix_payment_booked", "payment", ["booked_at", "id"], where="booked_at IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_payment_booked", "payment")
