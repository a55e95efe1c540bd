"""Which kinds of contradictions of an invoice were told: each once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.add_column("invoice", sa.Column("contradicted", sa.String(255), nullable=True))


def downgrade() -> None:
    op.drop_column("invoice", "contradicted")
