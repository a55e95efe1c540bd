"""The stream's fence: a counter in the standing row. The holder of the newest lease has the greatest number.

It follows the clock's microseconds, because workers of the first release use those; where the clock was set back, it
counts on by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from domain.decision import Stage
from domain.schedule import STANDING_WAITS
from workers.store.agenda import PUBLISH_LANE, Claim, Lost, bring_near, claim
from workers.store.database import Database
from workers.store.tables import AGENDA

#: A number above this was not written as a fence; the clock's microseconds get here in the year 2112. Lua can tell
#: numbers apart up to twice this, which leaves room to raise it by one.
GREATEST_FENCE = 2**52

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROW = AGENDA.c.stage == Stage.PUBLISH.value, AGENDA.c.subject == PUBLISH_LANE
_FENCE = select(AGENDA.c.fence).where(*_ROW)
_HELD = select(AGENDA.c.fence, AGENDA.c.lease_token).where(*_ROW).with_for_update()


def next_fence(kept: int | None, at: datetime) -> int:
    """Greater than ``kept``, whatever the clock says; where ``kept`` can't be a fence, counting starts over."""
    counted = kept + 1 if kept is not None and 0 < kept < 2 * GREATEST_FENCE else 1
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    return max(counted, microseconds if microseconds <= GREATEST_FENCE else 1)


def raise_fence(connection: Connection, claim: Claim) -> Claim:
    """The claim with its fence. Belongs in the transaction that took it."""
    row = connection.execute(_HELD).one()
    return claim._replace(fence=_write(connection, row.fence, claim.claimed_at))


def lift_fence(connection: Connection, claim: Claim, above: int, now: datetime) -> int | None:
    """A fence beyond ``above``, for the claim that still holds the row: the stream is ahead of the database. None where
    somebody has taken the row over: then the stream is right."""
    row = connection.execute(_HELD).one_or_none()
    if row is None or row.lease_token != claim.token:
        return None
    return _write(connection, max(row.fence or 0, min(above, GREATEST_FENCE)), now)


def lock_holder(connection: Connection) -> str | None:
    """The token that holds the row, which can't be claimed until this transaction ends."""
    row = connection.execute(_HELD).one_or_none()
    return None if row is None else row.lease_token


def read_fence(connection: Connection, now: datetime) -> int:
    """The fence that the next claim would get."""
    return next_fence(connection.execute(_FENCE).scalar_one_or_none(), now)


def _write(connection: Connection, kept: int | None, at: datetime) -> int:
    fence = next_fence(kept, at)
    connection.execute(update(AGENDA).where(*_ROW).values(fence=fence))
    return fence


def claim_publisher(
    connection: Connection, database: Database, limit: int, lease_seconds: float, lost: Lost
) -> list[Claim]:
    """Lease the stream's row, with a fence above all earlier ones."""
    lane = Stage.PUBLISH, PUBLISH_LANE
    bring_near(connection, database, lane, STANDING_WAITS[Stage.PUBLISH])
    claims = claim(connection, database, *lane, limit, lease_seconds, lost)
    return [raise_fence(connection, one) for one in claims]
