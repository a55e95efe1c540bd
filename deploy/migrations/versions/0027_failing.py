"""Which deliveries were tried in vain."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_delivery_failing"


def upgrade() -> None:
    """Made outside the transaction, and anew where a kill came in between."""
    create_index(NAME, "delivery", ["id"], where="state = 'due' AND tries > 0")


def downgrade() -> None:
    drop_index(NAME, "delivery")
