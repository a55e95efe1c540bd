"""The core as it stands keeps every promise, in whatever order things happen; and a history can be replayed."""

from __future__ import annotations

from itertools import product

import pytest

from tests.simulation.history import explore, run_history
from tests.simulation.plan import NAMES

#: (first seed, histories): a few of each kind with every run of the tests, 3,000 in all with the slow ones.
RANGES = [
    (1000, 10),
    *(pytest.param(*one, marks=pytest.mark.engines) for one in ((1010, 90), (1100, 100), (1200, 100))),
]


@pytest.mark.parametrize(("seed", "histories"), RANGES)
@pytest.mark.parametrize("profile", NAMES)
def test_every_promise_is_kept_in_every_history(profile, seed, histories):
    tally = explore(seed, histories, profile)

    assert not tally.broken, _told(tally.broken[0])
    assert tally.histories == histories


@pytest.mark.parametrize("profile", NAMES)
def test_the_same_seed_is_the_same_history(profile):
    first, other = run_history(17, profile), run_history(18, profile)

    assert run_history(17, profile).digest == first.digest
    assert other.digest != first.digest


def test_faults_of_every_kind_happen():
    """Histories are run until each was seen. The rarest are looked for first where they were seen last."""
    missing = {"call back", "answered", "verify", "shelve", "mark"}
    missing |= {"gone", "die_", "fail_", "freeze", "thaws", "redeliver", "cut_after", "late", "limited", "stale"}
    seen_last = ((seed, "callbacks storm") for seed in (251, 214))
    storms = ((seed, "callbacks storm") for seed in range(206, 260))
    for seed, profile in [*seen_last, *product(range(200, 206), NAMES), *storms]:
        trace = "\n".join(run_history(seed, profile).trace)
        missing = {what for what in missing if what not in trace}
        if not missing:
            return
    assert not missing


def _told(history):
    again = f"python -m tests.simulation --seed {history.seed} --profile '{history.profile}'"
    return "\n".join([*history.findings, again, *history.trace])
