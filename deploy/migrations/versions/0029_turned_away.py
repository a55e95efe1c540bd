"""Messages that were turned away and not sent again."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_rejected_waiting"


def upgrade() -> None:
    create_index(NAME, "rejected_message", ["id"], where="redriven_at IS NULL")


def downgrade() -> None:
    drop_index(NAME, "rejected_message")
