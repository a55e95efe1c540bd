"""The simulation finds bugs: each planted one breaks a promise within a bounded number of histories."""

from __future__ import annotations

import re

import pytest

from tests.simulation import callback_mutations  # noqa: F401 - adds its own
from tests.simulation.history import explore, run_history
from tests.simulation.mutations import MUTATIONS

MOST_HISTORIES = 1600  #: some bugs show in one history of several hundred
RARE = {
    "a commit takes an event that has older ones before it",
    "a fence that is ahead is believed",
    "a lease is over when the clock says so",
    "a lost lease settles the pair",
    "evidence of a lost lease completes the row",
    "nobody notices that the clock was set back",
    "the lease is shorter than the call may take",
    "with the database and the broker away a callback is answered all the same",
}  #: bugs that take seconds to be found, up to a minute alone on a machine; what bounds them is MOST_HISTORIES
SLOW = [pytest.mark.engines, pytest.mark.timeout(1200)]


def _planted_each():
    assert {one.name for one in MUTATIONS} >= RARE
    return [pytest.param(one, id=one.name, marks=SLOW if one.name in RARE else []) for one in MUTATIONS]


@pytest.mark.parametrize("mutation", _planted_each())
def test_a_planted_bug_is_found(mutation):
    with mutation.plant():
        broken = first_that_breaks(mutation.promise, mutation.profile)
        assert run_history(broken.seed, mutation.profile).digest == broken.digest, "it can't be replayed"

    assert not run_history(broken.seed, mutation.profile).findings, "broken without the bug too"


def first_that_breaks(promise, profile):
    """A bug may show as something else first: that history is no proof of this promise's check, the next may be."""
    first, others = 0, []
    while first < MOST_HISTORIES:
        tally = explore(first, MOST_HISTORIES - first, profile)
        if not tally.broken:
            break
        if re.search(promise, "\n".join(tally.broken[0].findings)):
            return tally.broken[0]
        others += tally.broken[0].findings
        first = tally.broken[0].seed + 1
    pytest.fail(f"{promise}: not found in {MOST_HISTORIES} histories, but {others}")
