"""The simulation finds bugs: each planted one breaks a promise within a bounded number of histories."""

from __future__ import annotations

import re

import pytest

from tests.simulation.history import explore, run_history
from tests.simulation.mutations import MUTATIONS

MOST_HISTORIES = 400


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_planted_bug_is_found(mutation):
    with mutation.plant():
        tally = explore(0, MOST_HISTORIES, mutation.profile)
        assert tally.broken, f"not found in {tally.histories} histories"
        broken = tally.broken[0]
        assert run_history(broken.seed, mutation.profile).digest == broken.digest, "it can't be replayed"

    assert re.search(mutation.promise, "\n".join(broken.findings)), broken.findings
    assert not run_history(broken.seed, mutation.profile).findings, "broken without the bug too"
