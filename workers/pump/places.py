"""Places: slots of a stage's lanes that are held while another stage's commit may bring them work.

What a change brings (a webhook for each endpoint) is mostly due at once. The process that commits the change writes
these rows leased already, as far as it has slots free for them, and begins their I/O right after the commit: no bell,
no claim. A process that dies in between leaves leases that run out, as after a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from workers.pump.work import Runner, Slots


@dataclass(frozen=True, slots=True)
class Place:
    """So many slots of one lane. Touched on the loop only."""

    runner: Runner
    slots: Slots
    held: int


@contextmanager
def hold_slots(slots: Slots, count: int, free: Callable[[Slots], None]) -> Iterator[None]:
    """Hold so many slots while rows are claimed for them: a commit, or another lane of the same slots, would take them
    too. Afterwards all are free again (``free`` gives one back), and at once those are taken that rows were found for.
    """
    slots.used += count
    try:
        yield
    finally:
        slots.used -= count - 1
        free(slots)


@contextmanager
def hold_places(runners: Iterable[Runner], wanted: int, free: Callable[[Slots], None]) -> Iterator[Mapping[str, Place]]:
    """Hold up to ``wanted`` slots of each lane that may go on and has nothing older to do, and no more than half of the
    free ones: the commit may take long, and bring nothing. ``free`` gives one back.

    Afterwards all of them are free again: what was begun meanwhile has taken slots of its own.
    """
    places: dict[str, Place] = {}
    for runner in runners:
        work, slots = runner.work, runner.work.slots(runner.lane)
        room = min(wanted, (slots.limit - work.reserve - slots.used + 1) // 2)
        if room > 0 and not runner.held and not runner.behind and (work.passes is None or work.passes(runner.lane)):
            slots.used += room
            places[runner.lane] = Place(runner, slots, room)
    try:
        yield places
    finally:
        for place in places.values():
            place.slots.used -= place.held - 1
            free(place.slots)
