"""The whole way through PgBouncer in transaction mode, against the same processes straight at PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from tests.bench.ground import Ground
from tests.bench.process_rows import AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import Processes, creates, ours
from tests.bench.results import Row
from tests.bench.rival_rows import Side
from tests.bench.usage import cpu_seconds
from tests.pgbouncer import Pooler, run_pooler, set_role

NAMES = "intake", "worker", "worker2", "beat"
SESSIONS = 12  #: on the server, as deploy/pgbouncer/pgbouncer.ini has it
STRAIGHT = "straight at PostgreSQL"


def pooled_rows(ground: Ground) -> list[Row]:
    """By `create`, in turns: rate, and CPU of all processes, both servers and the pooler."""
    what = "whole way by create behind PgBouncer, 100 ms stand-in, 2 workers"
    rate = Row("pooled", what, STRAIGHT, "invoices/s")
    cpu = Row("pooled-cpu", "CPU of it, servers and pooler included", STRAIGHT, "CPU-ms", better="less")
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(ground.database_url()) for _ in range(2)]
        for url in urls:
            subscribe(ground, url, AT_A_TIME)
        set_role(ground.server_url)
        pooler = stack.enter_context(run_pooler(urls[0], SESSIONS))
        pooled, straight = Side(ground, partial(_rate, ground)), Side(ground, partial(_rate, ground))
        rate.run(
            ground.sizes.rounds,
            lambda: _go(ground, pooler.url, pooled, cpu.ours, pooler),
            lambda: _go(ground, urls[1], straight, cpu.theirs),
        )
    rate.cpu_ms = cpu.cpu_ms = pooled.shares() | {f"straight: {name}": used for name, used in straight.shares().items()}
    return [rate, cpu]


def _go(ground: Ground, url: str, side: Side, cpu: list[float], pooler: Pooler | None = None) -> float:
    """Invoices a second. Only one side has processes at a time: both would take from the same queues."""
    count = ground.sizes.whole
    with ours(ground, url, *NAMES, max_in_flight=AT_A_TIME) as processes:
        side.counted = lambda: (
            processes.cpu_seconds() | ({} if pooler is None else {"PgBouncer": cpu_seconds(pooler.pid)})
        )
        _rate(ground, "create", max(100, count // 20))  # first calls, first connections
        return side.go("create", count, cpu)


def _counted(processes: Processes, pooler: Pooler | None) -> dict[str, float]:
    return processes.cpu_seconds() | ({"PgBouncer": cpu_seconds(pooler.pid)} if pooler else {})


def _rate(ground: Ground, kind: str, count: int) -> float:
    return whole_rate(ground, INTAKE, creates(count, f"invoices.{kind}", INTAKE), count)


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"pooled": lambda: pooled_rows(ground)}
