"""Which events have no position yet."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_event_unplaced"


def upgrade() -> None:
    """Made outside the transaction, and anew where a kill came in between."""
    create_index(NAME, "event", ["number"], where="positioned IS NULL")


def downgrade() -> None:
    drop_index(NAME, "event")
