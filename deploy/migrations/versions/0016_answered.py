"""When a look-up last answered while a callback waited to be confirmed; when the callback came stays what it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("invoice", sa.Column("called_answered_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("invoice", "called_answered_at")
