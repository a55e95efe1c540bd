"""The core as it stands keeps every promise, in whatever order things happen; and a history can be replayed."""

from __future__ import annotations

import pytest

from tests.simulation.history import explore, run_history
from tests.simulation.plan import NAMES

HISTORIES = 100  #: of each kind from each of these seeds: 2,400 in all
SEEDS = (1000, 1100, 1200)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("profile", NAMES)
def test_every_promise_is_kept_in_every_history(profile, seed):
    tally = explore(seed, HISTORIES, profile)

    assert not tally.broken, _told(tally.broken[0])
    assert tally.histories == HISTORIES


@pytest.mark.parametrize("profile", NAMES)
def test_the_same_seed_is_the_same_history(profile):
    first = run_history(17, profile)
    run_history(18, profile)

    assert run_history(17, profile).digest == first.digest
    assert run_history(18, profile).digest != first.digest


def test_faults_of_every_kind_happen():
    traces = "\n".join("\n".join(run_history(seed, profile).trace) for profile in NAMES for seed in range(200, 224))

    for what in ("gone", "die_", "fail_", "freeze", "thaws", "redeliver", "cut_after", "late", "limited", "stale"):
        assert what in traces, what


def _told(history):
    again = f"python -m tests.simulation --seed {history.seed} --profile '{history.profile}'"
    return "\n".join([*history.findings, again, *history.trace])
