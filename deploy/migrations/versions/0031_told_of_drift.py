"""Endpoints that are told of providers' drift: an index as for the events of invoices."""

from __future__ import annotations

from workers.store.online_index import create_index, drop_index

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

phase = "expand"

NAME = "ix_endpoint_provider_drift"


def upgrade() -> None:
    """Made outside the transaction, and anew where a kill came in between."""
    create_index(NAME, "endpoint", ["id"], where="events LIKE '%provider.drift%'")


def downgrade() -> None:
    drop_index(NAME, "endpoint")
