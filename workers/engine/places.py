"""Places: slots of a stage's lanes that are held while another stage's commit may bring them work.

What a change brings (a webhook for each endpoint) is mostly due at once. The process that commits the change writes
these rows leased already, as far as it has slots free for them, and begins their I/O right after the commit: no bell,
no claim. A process that dies in between leaves leases that run out, as after a claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from domain.decision import Stage
from workers.engine.work import Runner, Slots


@dataclass(frozen=True, slots=True)
class Place:
    """So many slots of one lane. Touched on the loop only."""

    runner: Runner
    slots: Slots
    held: int


@contextmanager
def hold_slots(slots: Slots, stage: Stage, count: int) -> Iterator[None]:
    """Hold so many slots while something is on its way that may need them: nobody else takes them meanwhile.

    Afterwards they are free again, and offered; what was begun in between has taken slots of its own.
    """
    slots.take(stage, count)
    try:
        yield
    finally:
        slots.take(stage, -count)
        slots.offer()


@contextmanager
def hold_places(runners: Iterable[Runner], wanted: int) -> Iterator[Mapping[str, Place]]:
    """Hold up to ``wanted`` slots of each lane that may go on and has nothing older to do, and no more than half of the
    free ones (of one, that one): the commit may take long, and bring nothing.
    """
    places: dict[str, Place] = {}
    with ExitStack() as held:
        for runner in runners:
            work, slots = runner.work, runner.work.slots(runner.lane)
            room = min(wanted, (slots.free_for(work) + 1) // 2)
            goes_on = not (runner.held or runner.behind or runner.waits or runner.ready)
            if room > 0 and goes_on and (work.passes is None or work.passes(runner.lane)):
                held.enter_context(hold_slots(slots, work.stage, room))
                places[runner.lane] = Place(runner, slots, room)
        yield places
