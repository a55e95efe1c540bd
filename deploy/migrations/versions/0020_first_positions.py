"""Positions for the events from before there were any, in the order of their numbers."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

phase = "expand"

#: Events a transaction. Workers write events meanwhile, and place none: this release's begin after this revision.
STEP = 10_000

_ACCOUNT_OF_A_REFUSED_ORDER = {
    "postgresql": "convert_from(event.body, 'UTF8')::json -> 'data' ->> 'account'",
    "sqlite": "json_extract(CAST(event.body AS TEXT), '$.data.account')",
}
_PLACE = """
INSERT INTO event_position (position, event_number, account)
SELECT (SELECT coalesce(max(position), 0) FROM event_position) + row_number() OVER (ORDER BY step.number),
       step.number, step.account
FROM (
    SELECT event.number, CASE event.type WHEN 'order.rejected' THEN {account} WHEN 'system.restored' THEN NULL
                         ELSE coalesce(invoice.account, '') END AS account
    FROM event LEFT JOIN invoice ON invoice.id = event.invoice_id
    WHERE event.positioned = 1 AND event.number > (SELECT coalesce(max(event_number), 0) FROM event_position)
    ORDER BY event.number LIMIT :step
) AS step
"""
_COUNT = "UPDATE event_log SET newest = (SELECT coalesce(max(position), 0) FROM event_position)"


def upgrade() -> None:
    """On PostgreSQL a transaction a step: a killed one is run again and goes on where it was. On SQLite it is one."""
    connection = op.get_bind()
    place = text(_PLACE.format(account=_ACCOUNT_OF_A_REFUSED_ORDER[connection.dialect.name]))
    if connection.dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            _place_all(op.get_bind(), place)
    else:
        _place_all(connection, place)
    op.execute(_COUNT)


def _place_all(connection: Any, place: Any) -> None:
    while connection.execute(place, {"step": STEP}).rowcount:
        pass


def downgrade() -> None:
    op.execute("DELETE FROM event_position")
    op.execute("UPDATE event_log SET newest = 0")
