"""Our whole way against the same by hand: what all that makes an order survive costs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from tests.bench import by_hand
from tests.bench.ground import SECRET, Ground
from tests.bench.process_rows import AT_A_TIME, subscribe, whole_rate
from tests.bench.processes import Processes, creates, ours
from tests.bench.results import Row
from tests.bench.rival_rows import Side, in_turns, our_rate

NAME = "by hand"


def by_hand_rows(ground: Ground) -> list[Row]:
    """Rate and CPU of all processes and both servers, in turns."""
    with contextlib.ExitStack() as stack:
        our_url, their_url = (stack.enter_context(ground.database_url()) for _ in range(2))
        subscribe(ground, our_url, AT_A_TIME)
        names = ("intake", "worker", "worker2", "beat")
        processes = stack.enter_context(ours(ground, our_url, *names, max_in_flight=AT_A_TIME))
        theirs = stack.enter_context(_running(ground, their_url))
        our_side = Side(ground, functools.partial(our_rate, ground), processes.cpu_seconds)
        their_side = Side(ground, lambda _, count: _rate(ground, count), theirs.cpu_seconds)
        rate = Row("by-hand", "whole way by create, 100 ms stand-in, 2 workers", NAME, "invoices/s")
        cpu = Row("by-hand-cpu", "CPU of it, servers included", NAME, "CPU-ms", None, "less")
        rows = in_turns(ground, "create", (rate, cpu), our_side, their_side)
    for row in rows:
        row.note = "by hand: the same rows and event; nothing leased, judged, limited or tried again"
    return rows


def _rate(ground: Ground, count: int) -> float:
    return whole_rate(ground, by_hand.QUEUE, creates(count, "by-hand", by_hand.QUEUE), count)


@contextlib.contextmanager
def _running(ground: Ground, url: str) -> Iterator[Processes]:
    environment = {
        "HAND_DATABASE_URL": url,
        "HAND_REDIS_URL": ground.valkey.redis_url,
        "HAND_PROVIDER_URL": ground.provider_url(100),
        "HAND_HOOK_URL": ground.hook_url,
        "HAND_SECRET": SECRET,
    }
    with Processes(ground.folder / "by-hand", environment) as processes:
        for number in range(2):
            processes.start(f"hand{number}", ["python", "-m", "tests.bench.by_hand"], b"by hand ready.")
        yield processes


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"by-hand": lambda: by_hand_rows(ground)}
