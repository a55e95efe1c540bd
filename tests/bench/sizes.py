"""How much of everything: minutes by default, the full sizes with BENCH_FULL=1, a trial with BENCH_TINY=1."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of invoices or messages unless the name says otherwise."""

    name: str
    rounds: int  #: of each pair; the median and the spread over them are told
    calls: int  #: of the CREATE and DELIVER rows
    events: int  #: of the PUBLISH row
    open_many: int  #: invoices standing open in the expiry, claim and memory rows
    open_few: int
    due: int  #: of these, expiring at one instant
    claims: int  #: a round, 100 rows each: half of them with many open, half with few
    lists: int  #: create_many messages, 500 orders each
    messages: int  #: create messages against no-op tasks
    whole: int  #: invoices of the whole way
    slow: int  #: invoices of the 1 s stand-in, for each worker process
    calm_seconds: int  #: of load at half of the capacity
    callback_seconds: int  #: of callbacks


DEFAULT = Sizes("default", 3, 6000, 60_000, 1_000_000, 10_000, 100_000, 100, 40, 6000, 4000, 1000, 300, 60)
FULL = Sizes("full", 5, 10_000, 100_000, 1_000_000, 10_000, 100_000, 200, 100, 20_000, 8000, 2000, 300, 120)
TINY = Sizes("tiny", 2, 600, 3000, 20_000, 2000, 3000, 30, 6, 600, 400, 100, 10, 5)


def chosen() -> Sizes:
    """By the environment."""
    if os.environ.get("BENCH_FULL") == "1":
        return FULL
    return TINY if os.environ.get("BENCH_TINY") == "1" else DEFAULT
