"""What was said against what is known of an invoice."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_evidence_against"


def upgrade() -> None:
    """Made outside the transaction, and anew where a kill came in between."""
    create_index(NAME, "evidence", ["id"], where="verdict = 'contradiction'")


def downgrade() -> None:
    drop_index(NAME, "evidence")
