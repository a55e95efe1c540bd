"""Calls of the synchronous store from the web process's event loop: in a few threads, and with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

#: All threads of the web process that use the store. It has a connection for each, so that none waits for another's.
#: Callbacks wait behind no other request: their insert has a thread of its own, and a second one in case that hangs.
STORE_THREADS: Mapping[str, int] = {
    "requests": 8,
    "callbacks": 2,
    "console": 4,
    "metrics": 2,
    "shelf": 1,
    "forged": 1,
    "replays": 1,
    "heartbeat": 1,
}
CONNECTIONS = sum(STORE_THREADS.values())
#: Calls under way or waiting; one more raises Overloaded at once.
MOST_CALLS = 256


class Overloaded(Exception):  # noqa: N818 - reads as what happened
    """Too many calls wait for the store, or this one has waited too long."""


class StillRunning(Overloaded):
    """The call goes on, or will; nobody waits for it any more."""


class StoreThreads:
    """Runs functions that block. Used on one event loop."""

    def __init__(self, threads: int = STORE_THREADS["requests"], most_calls: int = MOST_CALLS) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="web")
        self._most_calls = most_calls
        self._calls = 0

    async def run(self, function: Callable[..., Result], *arguments: object, seconds: float) -> Result:
        """The function's result. Raises Overloaded when there is none within ``seconds``, and what the function raises.

        A call that nobody waits for any more goes on; the store's own time-outs end it.
        """
        if self._calls >= self._most_calls:
            raise Overloaded(f"{self._calls} calls are under way")
        self._calls += 1
        call = asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        call.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(call)
        except TimeoutError:
            if call.done():  # either the loop was held up and the result is there, or the call itself timed out
                return call.result()
            raise StillRunning(f"no answer within {seconds:g} s") from None

    def close(self) -> None:
        """Take no more calls."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _ended(self, call: asyncio.Future[Result]) -> None:
        self._calls -= 1
        if not call.cancelled():
            call.exception()  # retrieved here, or asyncio would log that nobody did
