"""An endpoint's header values, encrypted as its secrets are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("endpoint", sa.Column("sealed_headers", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("endpoint", "sealed_headers")
