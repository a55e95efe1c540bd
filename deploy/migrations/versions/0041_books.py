"""Lines of the books: when each payment came into them, and with what amount."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("payment", sa.Column("booked_at", sa.DateTime(timezone=True)))
    op.add_column("payment", sa.Column("booked", sa.Text()))
    op.add_column("payment", sa.Column("booked_told", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    # An earlier release would take a correction for a payment.
    op.execute("DELETE FROM payment WHERE kind = 'correction'")
    for name in ("booked_told", "booked", "booked_at"):
        op.drop_column("payment", name)
