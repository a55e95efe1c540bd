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
SELECT :newest + row_number() OVER (ORDER BY step.number), step.number, step.account
FROM (
    SELECT event.number, CASE event.type WHEN 'order.rejected' THEN {account} WHEN 'system.restored' THEN NULL
                         ELSE coalesce(invoice.account, '') END AS account
    FROM event LEFT JOIN invoice ON invoice.id = event.invoice_id
    WHERE event.positioned = 1 AND event.number > :after
          AND NOT EXISTS (SELECT 1 FROM event_position AS placed WHERE placed.event_number = event.number)
    ORDER BY event.number LIMIT :step
) AS step
"""
_NEWEST = text(
    "SELECT max(given) FROM (SELECT newest AS given FROM event_log UNION ALL"
    " SELECT max(position) FROM event_position) AS ends"
)
_LAST = text("SELECT event_number FROM event_position WHERE position = :newest")
_COUNT = text("UPDATE event_log SET newest = :newest WHERE newest < :newest")


def upgrade() -> None:
    """On PostgreSQL a transaction a step: a killed one is run again and goes on where it was. On SQLite it is one."""
    connection = op.get_bind()
    place = text(_PLACE.format(account=_ACCOUNT_OF_A_REFUSED_ORDER[connection.dialect.name]))
    if connection.dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            _place_all(op.get_bind(), place)
    else:
        _place_all(connection, place)


def _place_all(connection: Any, place: Any) -> None:
    """What has a position keeps it, and none is given that was given before."""
    newest, after = connection.execute(_NEWEST).scalar_one(), 0
    while placed := connection.execute(place, {"newest": newest, "after": after, "step": STEP}).rowcount:
        newest += placed
        after = connection.execute(_LAST, {"newest": newest}).scalar_one()
    connection.execute(_COUNT, {"newest": newest})


def downgrade() -> None:
    op.execute("DELETE FROM event_position")
    op.execute("UPDATE event_log SET newest = 0")
