"""`invoices restored` while everything is at work, and perhaps failing, breaks no promise."""

from __future__ import annotations

from random import Random

import pytest

from tests.simulation.database import Engine, WorldClock
from tests.simulation.history import World
from tests.simulation.hosts import POLICIES
from tests.simulation.plan import NAMES, make_plan
from workers.store import restoration
from workers.store.database import Database

#: (first seed, histories) of each kind
RANGES = [(3014, 8), pytest.param(3022, 10, marks=pytest.mark.engines)]

#: What the command does on purpose: it ends leases, and doubts what is queued, so that creates wait.
MEANT = ("by somebody else", "taken while it was held", "and nothing went wrong", "taken up after")


class OperatorsDatabase(Database):
    """Past every fault: the command is there or it is not."""

    def __init__(self, world: World) -> None:
        self.is_postgresql = False
        self._clock = WorldClock(world)


class RestoredWorld(World):
    """Somebody runs the command once or twice, at any moment."""

    def _schedule(self) -> None:
        super()._schedule()
        dice = Random(f"restored {self.plan.seed}")
        for _ in range(dice.choice((1, 2))):
            at = dice.random() * dice.choice((1.5, 10.0))
            self.planned.append(at)
            self.loop.at_world(at, self._restore)

    def _restore(self) -> None:
        with self.engine.transaction("BEGIN IMMEDIATE") as connection:
            found, _ = restoration.restore(connection, OperatorsDatabase(self), POLICIES.__getitem__, lambda _: 0.01)
        self.note("restored", found.epoch, len(found.uncertain), found.leases)


@pytest.fixture(scope="module")
def engine():
    return Engine()


@pytest.mark.parametrize(("first", "histories"), RANGES)
@pytest.mark.parametrize("profile", NAMES)
def test_a_restore_told_in_the_middle_of_everything_breaks_no_promise(engine, profile, first, histories):
    restores: list[str] = []
    for seed in range(first, first + histories):
        history = RestoredWorld(make_plan(seed, profile), engine).run()
        broken = [finding for finding in history.findings if not any(meant in finding for meant in MEANT)]
        assert not broken, "\n".join([*broken, f"seed {seed}", *history.trace])
        restores += [line for line in history.trace if " restored " in line]
    assert any(int(line.split()[-2]) for line in restores), "orders were queued"
    assert any(int(line.split()[-1]) for line in restores), "leases were held"
