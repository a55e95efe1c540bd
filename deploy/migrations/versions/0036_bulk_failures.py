"""Every invoice that a job could do nothing with, and why: more than the first of them, which the job's row has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

phase = "expand"


def upgrade() -> None:
    op.create_table(
        "bulk_failure",
        sa.Column("job_id", sa.String(40), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("invoice_id", sa.String(40), nullable=False),
        sa.Column("order_id", sa.String(128), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("bulk_failure")
