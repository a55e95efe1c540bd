"""The state of a lane: what it does or waits for, and what its last claim left.

                woken, there is room          rows are started, or none was due
        IDLE ------------------------> CLAIMING -------------------------------> IDLE
         |                                |
         | woken, there is none           | the limit lets no more through
         v                                v
    FULL or LATE                      THROTTLED ------- its time is over ------> IDLE
         |
         +-- woken: as from IDLE              from each of them, at the end: DRAINING

A lane is woken by a doorbell, a timer, a sweep, a free slot, a commit that is done, or by itself when more is due.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Generic

from workers.engine.slots import Slots
from workers.engine.work import Item, Outcome, Work
from workers.store.agenda import Lane


class Phase(Enum):
    """What a lane does, or waits for."""

    IDLE = auto()  #: waits to be woken
    CLAIMING = auto()  #: asks its limit, then the database
    FULL = auto()  #: no slot is free; rows that a commit brings may not start here, since older ones are due
    LATE = auto()  #: too many results wait for their commit
    THROTTLED = auto()  #: its limit lets nothing through until a timer runs out, however often it is woken
    DRAINING = auto()  #: the engine stops: claims nothing more


class Backlog(Enum):
    """What a lane's last claim left."""

    NOTHING = auto()
    FLOWING = auto()  #: nothing, but it found some and more comes in (``Pace.flows``)
    MORE = auto()  #: rows that are older than whatever comes now


#: The diagram above. A phase may always be entered again.
_NEXT = {
    Phase.IDLE: {Phase.CLAIMING, Phase.FULL, Phase.LATE, Phase.DRAINING},
    Phase.CLAIMING: {Phase.IDLE, Phase.THROTTLED, Phase.DRAINING},
    Phase.FULL: {Phase.CLAIMING, Phase.LATE, Phase.DRAINING},
    Phase.LATE: {Phase.CLAIMING, Phase.FULL, Phase.DRAINING},
    Phase.THROTTLED: {Phase.IDLE, Phase.DRAINING},
    Phase.DRAINING: set[Phase](),
}


@dataclass(slots=True, eq=False)
class LaneState(Generic[Item, Outcome]):
    """One lane of a stage. Used on the loop only, except ``goes_on`` and ``wake_up_pending``."""

    work: Work[Item, Outcome]
    name: str
    phase: Phase = Phase.IDLE
    backlog: Backlog = Backlog.NOTHING
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    wake_up_pending: bool = False  #: a doorbell was heard, and is not cleared yet
    ready: deque[Item] = field(default_factory=deque)  #: claimed ahead, not begun
    slow_at: float = -math.inf  #: when its last slow call ended, by the monotonic clock
    is_quick: bool = False  #: no call was slow lately (``ReadAhead``)
    slots: Slots | None = None  #: where its rows counted when it last claimed or began any

    @property
    def lane(self) -> Lane:
        """Its stage and name."""
        return self.work.stage, self.name

    @property
    def takes_single_rows(self) -> bool:
        """Each of its rows takes a slot of its own."""
        return self.work.batching.group == 1

    def wake_up(self) -> None:
        """Have it look for work."""
        self.wake.set()

    def enter(self, phase: Phase) -> None:
        """Go on to a phase. Raises RuntimeError for a step that the diagram does not have."""
        if phase is self.phase:
            return
        if phase not in _NEXT[self.phase]:
            raise RuntimeError(f"a lane does not go from {self.phase.name} to {phase.name}")
        self.phase = phase

    def throttle(self, seconds: float) -> None:
        """Let nothing through for this long."""
        self.enter(Phase.THROTTLED)
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self.phase is Phase.THROTTLED:
            self.enter(Phase.IDLE)
        self.wake_up()

    def free(self, slots: Slots) -> int:
        """Slots that it may take now."""
        return slots.free_for(self.work.stage, self.work.slot_use.spare)

    def note_call(self, begun_at: float) -> None:
        """A call has ended that began then, by the monotonic clock."""
        read_ahead = self.work.read_ahead
        if read_ahead is None:
            return
        now = time.monotonic()
        if now - begun_at >= read_ahead.quick_seconds:
            self.slow_at = now
        self.is_quick = now - self.slow_at >= read_ahead.slow_seconds

    def ahead(self, slots: Slots) -> int:
        """Rows that it may claim though no slot is free.

        They are claimed once half of the last ones have begun, so that they are there in time.
        """
        if self.backlog is not Backlog.MORE:
            return 0
        count = self.most_ahead(slots)
        return count if len(self.ready) <= count // 2 else 0

    def most_ahead(self, slots: Slots) -> int:
        """As many as there are slots, so that none waits longer than a round or two of calls. None while calls are
        slow."""
        if self.work.read_ahead is None or not self.is_quick:
            return 0
        return min(self.work.batching.claim, slots.limit)

    @property
    def takes_new_rows(self) -> bool:
        """A commit may start rows here: nothing older waits, and no limit is known to stop them."""
        if self.phase is Phase.THROTTLED or self.phase is Phase.FULL:
            return False
        return self.backlog is not Backlog.MORE and not self.ready

    @property
    def goes_on(self) -> bool:
        """It will claim again soon, woken or not. Read from other threads too."""
        if self.phase is Phase.THROTTLED and self.work.admission is not None and self.work.admission.is_shared:
            return True
        return self.backlog is Backlog.FLOWING or (self.backlog is Backlog.MORE and self.work.pace.flows)


AnyLane = LaneState[Any, Any]
