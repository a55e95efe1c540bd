"""The sandbox in a thread of this process: it can play providers that only the tests know."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from workers.embedded.sandbox.application import Options, build_application, serve
from workers.embedded.sandbox.stand_in import StandIn

START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class SandboxThread:
    """Where it is."""

    url: str

    @property
    def control_url(self) -> str:
        return f"{self.url}/control"


@contextmanager
def serve_sandbox(options: Options, kinds: Sequence[type[StandIn]]) -> Iterator[SandboxThread]:
    """A sandbox of these providers for as long as the block runs."""
    told: list[str] = []
    up, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    def tell(url: str) -> None:
        told.append(url)
        up.set()

    async def run() -> None:
        loops.append((asyncio.get_running_loop(), asyncio.Event()))
        await serve(build_application(options, kinds), "127.0.0.1", 0, loops[0][1], tell)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="sandbox")
    thread.start()
    try:
        assert up.wait(START_SECONDS), "the sandbox did not start"
        yield SandboxThread(told[0])
    finally:
        if loops:
            loops[0][0].call_soon_threadsafe(loops[0][1].set)
        thread.join()
