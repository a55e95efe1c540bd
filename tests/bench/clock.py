"""A worker process's CLOCK stage and nothing beside it: ``python -m tests.bench.clock DATABASE_URL``.

It says ``ready``, begins with the first line that it reads, and ends with its input.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from config.logging import configure_logging
from tests.bench.ground import open_store
from workers.engine import Pump, Work
from workers.engine.memory import keep_what_is_loaded
from workers.stages import clock


def main() -> None:
    """Expire what is due until the input ends."""
    configure_logging("json", "info")
    store = open_store(sys.argv[1])
    store.now()

    async def open_works(_: AsyncExitStack) -> Sequence[Work]:
        return [clock(store)]

    keep_what_is_loaded()
    print("ready", flush=True)
    sys.stdin.readline()
    pump = Pump(open_works, store.next_due, store.release, lambda _: None)
    pump.start()
    sys.stdin.read()
    pump.stop(10)
    store.close()


if __name__ == "__main__":
    main()
