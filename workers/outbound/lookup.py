"""Host name to addresses, bounded: a deadline, threads of its own, one question at a time for each name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

#: Answers every address of (host, port), as text. Raises LookupFailed.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class LookupFailed(OSError):  # noqa: N818 - reads as what happened
    """The name has no address, or DNS did not answer in time. One line."""


class SystemLookup:
    """``getaddrinfo`` in threads of its own, so that a dead name server cannot take the event loop's threads.

    A question that is already being asked is joined, not repeated: a host whose DNS hangs holds one thread, whatever
    the number of deliveries. Nothing is remembered once it is answered.
    """

    def __init__(self, timeout_seconds: float = 5, threads: int = 16) -> None:
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")
        self._asked: dict[str, Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of the host. Raises LookupFailed after the deadline or when there is none."""
        question = self._asked.get(host)
        if question is None:
            question = self._asked[host] = self._threads.submit(_addresses_of, host)
            question.add_done_callback(lambda _: self._asked.pop(host, None))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Shielded: one delivery that stops waiting must not end the question for the others.
                return await asyncio.shield(asyncio.wrap_future(question))
        except TimeoutError:
            raise LookupFailed(f"no DNS answer for {host} within {self._timeout_seconds:g} s") from None

    def close(self) -> None:
        """Lets the threads go; a question under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses_of(host: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LookupFailed(f"{host} does not resolve ({getattr(error, 'strerror', None) or 'bad name'})") from None
    return list(dict.fromkeys(_text_of(sockaddr) for *_, sockaddr in answers))


def _text_of(sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    host = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
