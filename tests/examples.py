"""How many examples a rule that must hold for all inputs is tried with, and whether each run tries others."""

from __future__ import annotations

import os

from hypothesis import settings

#: 1 in `make test`, which tries the same examples in every run: it tells what a change broke, not what luck finds.
#: More (`make explore`) means so many times as many, other ones in each run.
TIMES = int(os.environ.get("EXAMPLES_TIMES", "1"))

HYPOTHESIS_DEFAULT = 100


def examples(number: int) -> int:
    """``max_examples`` of a rule that is tried with ``number`` examples in `make test`."""
    return number * TIMES


# Time is never asserted on: the machine may be busy.
settings.register_profile("invoices", deadline=None, derandomize=TIMES == 1, max_examples=examples(HYPOTHESIS_DEFAULT))
