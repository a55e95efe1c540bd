"""Which processes run, by when each was last seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: A role is gone if none of its processes was seen for this long.
GONE = timedelta(seconds=15)
#: After this long it counts as taken out of service, and is no longer missed.
MISSED = timedelta(days=1)

WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Process:
    """A process in a role. ``moved_at``: when it last committed work; ``accounts``: those it works for."""

    role: str
    name: str
    seen_at: datetime
    moved_at: datetime | None = None
    accounts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Crew:
    """All processes at ``now``, by the database's clock."""

    now: datetime
    processes: Sequence[Process]

    def alive(self, role: str) -> list[Process]:
        """The processes of a role that were seen lately. (After a clock was set back, times may be ahead of it.)"""
        return [one for one in self.processes if one.role == role and abs(self.now - one.seen_at) <= GONE]

    def seen_at(self, role: str) -> datetime | None:
        """When a process of the role was last seen; None: never."""
        return max((one.seen_at for one in self.processes if one.role == role), default=None)

    def gone(self, roles: Collection[str]) -> list[str]:
        """Those of the roles that were seen before, but not lately."""
        return [role for role in sorted(roles) if self.seen_at(role) is not None and not self.alive(role)]

    def missed(self, roles: Collection[str]) -> list[str]:
        """Those of the roles that are gone, and were seen within the last day."""
        return [role for role in self.gone(roles) if self.now - (self.seen_at(role) or self.now) <= MISSED]

    def works_for(self, account: str | None) -> bool:
        """Whether a worker runs that does this account's work; None: work that belongs to no account."""
        alive = self.alive(WORKER)
        return any(account is None or account in one.accounts for one in alive)

    def moved_at(self) -> datetime | None:
        """When a worker that runs last committed anything."""
        return max((one.moved_at for one in self.alive(WORKER) if one.moved_at is not None), default=None)
