"""Each account's callbacks in their order: when it was last called back, however many others were."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    create_index("ix_callback_account", "callback", ["account", "id"])


def downgrade() -> None:
    drop_index("ix_callback_account", "callback")
