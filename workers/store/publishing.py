"""The stream's part of the store: who may tell it, where events stand in the log, what it has been told."""

from __future__ import annotations

from collections.abc import Sequence

from workers.store import fence, outbox, positions
from workers.store.agenda import Claim
from workers.store.database import Database
from workers.store.leases import Leases
from workers.store.outbox import Unpublished


class Publishing:
    """Each method is a short transaction. Raises ``database.UNAVAILABLE`` while the database is away."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    def claim_publisher(self, limit: int, lease_seconds: float) -> list[Claim]:
        """Lease the stream's row, but only while there is something to tell: the row itself is always due."""
        with self._database.glancing() as connection:
            if not outbox.any_untold(connection):
                return []
        return self._leases.take(
            lambda connection, lost: fence.claim_publisher(connection, self._database, limit, lease_seconds, lost)
        )

    def lift_fence(self, claim: Claim, above: int) -> int | None:
        """A fence beyond the stream's, for a claim that still holds the row; otherwise None."""
        with self._database.transaction() as connection:
            return fence.lift_fence(connection, claim, above, self._database.now(connection))

    def place_events(self, claim: Claim, limit: int, without: Sequence[int] = (), *, mark: bool = False) -> list[int]:
        """Give the oldest events their positions, under the publisher's claim. Returns their numbers. Raises LeaseLost.

        ``without``: those that the stream is being told right now. ``mark``: it won't be told of these soon.
        """
        with self._database.transaction() as connection:
            return positions.place_events(connection, claim, limit, without, mark=mark)

    def mark_placed(self, numbers: Sequence[int]) -> None:
        """The stream won't be told of these soon, or knows them already."""
        with self._database.transaction() as connection:
            positions.mark_placed(connection, numbers)

    def mark_told(self) -> None:
        """The same for events that a release which marks nothing has told."""
        with self._database.transaction() as connection:
            positions.mark_told(connection)

    def unmark(self, numbers: Sequence[int]) -> None:
        """Have those of these that lack a position after all given one with the next."""
        with self._database.transaction() as connection:
            positions.unmark(connection, numbers)

    def unpublished(self, limit: int, without: Sequence[int] = ()) -> list[Unpublished]:
        """The oldest events that the stream has not been told, except those it is being told right now."""
        with self._database.glancing() as connection:
            return outbox.unpublished(connection, limit, without)

    def mark_published(self, numbers: Sequence[int]) -> None:
        """The stream has these. Those that somebody keeps locked stay unmarked, and are told again."""
        outbox.mark_published_where_free(self._database, numbers)
