"""Positions of events: the log's one row, a narrow table, and on each event whether it has one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Events that are there count as placed, and 0020 gives them their positions. Events that come later do not,
    whichever release writes them."""
    op.create_table(
        "event_log",
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO event_log (name, newest, removed) VALUES ('events', 0, 0)")
    op.create_table(
        "event_position",
        sa.Column("position", ROW_NUMBER, primary_key=True, autoincrement=False),
        sa.Column("event_number", ROW_NUMBER, nullable=False, unique=True),
        sa.Column("account", sa.String(128)),
    )
    if op.get_context().dialect.name == "postgresql":  # no row is written: those that are there have the first default
        op.add_column("event", sa.Column("positioned", sa.SmallInteger(), server_default="1"))
        op.execute("ALTER TABLE event ALTER COLUMN positioned SET DEFAULT NULL")
    else:
        op.add_column("event", sa.Column("positioned", sa.SmallInteger()))
        op.execute("UPDATE event SET positioned = 1")


def downgrade() -> None:
    op.drop_column("event", "positioned")
    op.drop_table("event_position")
    op.drop_table("event_log")
