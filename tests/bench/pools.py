"""`python -m tests.bench.pools`: which pool suits the hand-written app best; each gets the same work, in turns.

The figures stand in tests/bench/handwritten/README.md, the best pool in `process_rows.SHOP_POOL`. gevent is tried where
it is installed: it is no dependency of ours, nor of the tests.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tests.bench.ground import Ground
from tests.bench.process_rows import SHOP, Pool, shop, whole_rate
from tests.bench.processes import Processes, creates, lists
from tests.bench.sizes import chosen

POOLS = (
    Pool("threads", 8, 3),
    Pool("threads", 16, 3),
    Pool("threads", 32, 3),
    Pool("threads", 64, 3),
    Pool("threads", 32, 2),
    Pool("prefork", 4, 3),
    Pool("prefork", 8, 3),
    Pool("prefork", 16, 1),
    Pool("gevent", 50, 3),
    Pool("gevent", 100, 2),
)
ROUNDS = 3
COUNT = {"default": 600, "full": 2000, "tiny": 200}


def main() -> None:
    """Try them all, print a line each."""
    sizes = chosen()
    table = Table("pool", "processes", "create_many/s", "spread", "create/s", "spread", "CPU-ms each")
    pools = [pool for pool in POOLS if pool.kind != "gevent" or importlib.util.find_spec("gevent")]
    with Ground(sizes) as ground:
        found: dict[Pool, list[tuple[float, float, float]]] = {pool: [] for pool in pools}
        for _ in range(ROUNDS):
            for pool in pools:
                found[pool].append(try_pool(ground, pool, COUNT[sizes.name]))
                print(pool, *(f"{value:.1f}" for value in found[pool][-1]), flush=True)
    for pool, rounds in found.items():
        many, single, cpu = (list(values) for values in zip(*rounds, strict=True))
        cells = [f"-P {pool.kind} -c {pool.size}", str(pool.processes)]
        for values in (many, single):
            cells += [f"{statistics.median(values):.0f}", f"{min(values):.0f} - {max(values):.0f}"]
        table.add_row(*cells, f"{statistics.median(cpu):.1f}")
    Console(width=120).print(table)


def try_pool(ground: Ground, pool: Pool, count: int) -> tuple[float, float, float]:
    """Invoices a second by lists, by single orders, and CPU-milliseconds each."""
    with _running(ground, pool) as processes:
        whole_rate(ground, SHOP, creates(60, "shop.create", SHOP), 60)  # first calls, first connections
        before = sum(processes.cpu_seconds().values())
        many = whole_rate(ground, SHOP, lists(count, "shop.create_many", SHOP), count)
        single = whole_rate(ground, SHOP, creates(count, "shop.create", SHOP), count)
        used = sum(processes.cpu_seconds().values()) - before
    return many, single, used / count / 2 * 1000


@contextlib.contextmanager
def _running(ground: Ground, pool: Pool) -> Iterator[Processes]:
    with ground.database_url() as url, shop(ground, url, pool) as processes:
        yield processes


if __name__ == "__main__":
    main()
