"""How the whole does, for the bar and the rail of every page: read once in a while, however many people look; each is
told what concerns the accounts that they see."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from domain.why import Cause, Late, Verdict
from domain.why.held_up import REFUSALS
from workers.store.database import UNAVAILABLE, Database
from workers.store.endpoints import Endpoint, list_endpoints
from workers.store.reads.endpoints import is_within
from workers.store.reads.gauges import COUNTED
from workers.store.reads.settling import count_unmatched
from workers.store.reads.why.late import Overview
from workers.store.reads.why.webhooks import Breakers
from workers.web.console.cache import PATIENCE_SECONDS, CachedValue
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

#: A verdict older than the first is read anew when a page is drawn; one older than the second is not shown.
FRESH_SECONDS, OLD_SECONDS = 2.0, 15.0
READ_SECONDS = 10.0
#: Causes that are settled by a person, by the rail's entry that counts them.
TO_SETTLE: Mapping[Cause, str] = {
    Cause.IN_DOUBT: "doubts",
    Cause.REJECTED_MESSAGE: "rejected",
    Cause.CONTRADICTION: "contradictions",
}
CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Pulse:
    """The verdict and what is late, as far as one person sees it. ``counts``: what needs a person, by the rail's entry;
    zero is left out. ``breakers``: of the endpoints, where Redis tells."""

    verdict: Verdict
    late: tuple[Late, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    overview: Overview | None = None
    endpoints: Sequence[Endpoint] = ()
    breakers: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()  #: accounts that are turned away


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read: of everything."""

    overview: Overview
    endpoints: Sequence[Endpoint]
    breakers: Mapping[str, str]
    unmatched: Mapping[str, int]  #: callbacks, by account


class PulseReader:
    """Keeps the newest one. Used on one event loop."""

    def __init__(
        self,
        threads: StoreThreads,
        database: Database,
        read_overview: Callable[[], Overview],
        breakers: Breakers,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._threads = threads
        self._database = database
        self._read_overview = read_overview
        self._breakers = breakers
        self._patience_seconds = patience_seconds
        self._kept = CachedValue(self._fresh, FRESH_SECONDS, OLD_SECONDS)

    async def take(self, accounts: Collection[str] | None = None) -> Pulse | None:
        """For somebody who sees these accounts (None: all); None while the database is away. A page waits for the
        reading only while there is no earlier one."""
        known = await self._kept.take(self._patience_seconds if self._kept.has_some() else READ_SECONDS)
        return None if known is None else _pulse(known, accounts)

    async def _fresh(self) -> _Known | None:
        try:
            return await self._threads.run(self._read, seconds=READ_SECONDS)
        except (Overloaded, *UNAVAILABLE) as error:
            log.warning("console.store_away", error=type(error).__name__)
            return None

    def _read(self) -> _Known:
        endpoints = self._database.read(list_endpoints)
        breakers = self._breakers([one.id for one in endpoints if one.disabled_at is None])
        unmatched = self._database.read(count_unmatched, COUNTED)
        return _Known(self._read_overview(), endpoints, breakers, unmatched)


def _pulse(known: _Known, accounts: Collection[str] | None) -> Pulse:
    endpoints = [one for one in known.endpoints if is_within(one, accounts)]
    whole = known.overview
    overview = whole if accounts is None else whole.within(accounts, {one.id for one in endpoints})
    at = {part.at for part in whole.parts if part.late.cause in REFUSALS and part.at is not None}
    refused = frozenset(one for one in at if accounts is None or one in accounts)
    counts = {TO_SETTLE[one.cause]: one.count for one in overview.late if one.cause in TO_SETTLE}
    counts["endpoints"] = sum(1 for one in endpoints if is_held(one, known.breakers))
    counts["accounts"] = len(refused)
    counts["unmatched"] = sum(count for one, count in known.unmatched.items() if accounts is None or one in accounts)
    return Pulse(
        overview.verdict,
        tuple(overview.late),
        {entry: count for entry, count in counts.items() if count},
        overview,
        endpoints,
        {one.id: known.breakers[one.id] for one in endpoints if one.id in known.breakers},
        refused,
    )


def is_held(endpoint: Endpoint, breakers: Mapping[str, str]) -> bool:
    """Whether it is disabled, or left alone by its breaker."""
    return endpoint.disabled_at is not None or breakers.get(endpoint.id, CLOSED) != CLOSED
