"""What all stages of one engine share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.engine.observer import Failure, Observer, Trouble
from workers.engine.store_calls import StoreCalls
from workers.engine.work import AnyWork
from workers.store.agenda import Claim, Lane
from workers.store.database import UNAVAILABLE


@dataclass(slots=True)
class Shared:
    """The store's threads, the listeners, other processes' doorbells, and whether the engine stops."""

    release: Callable[[Sequence[Claim]], None]
    ring_others: Callable[[Lane], None]
    clear_doorbell: Callable[[Lane], None]
    observer: Observer
    calls: StoreCalls = field(default_factory=StoreCalls)
    stopping: bool = False
    #: All calls that are under way, each with its work and its rows.
    under_way: dict[asyncio.Task[None], tuple[AnyWork, Sequence[Any]]] = field(default_factory=dict)

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """At the end: rows that anybody may begin again are due at once."""
        try:
            await self.calls.run(self.release, claims)
        except UNAVAILABLE as error:
            consequence = {"consequence": "leases run out by themselves"}
            self.observer.failed(Failure(Trouble.STORE_AWAY, error=error, fields=consequence))
