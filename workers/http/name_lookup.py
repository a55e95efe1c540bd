"""Host name to addresses, bounded: a deadline, threads of its own, one question at a time for each name.

``getaddrinfo`` can't be cancelled: a name whose server does not answer holds its thread for up to half a minute. So
names share the threads: those that were slow lately may use a quarter of them, and names that answer quickly, whatever
the answer, always find one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from workers.http.shares import Shares

_T = TypeVar("_T")

#: Answers every address of (host, port), as text. Raises LookupFailed.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

THREADS = 256  #: they are started when needed and end with their question
SLOW_PART = 0.25  #: of the threads, for names that were slow lately

#: This process has no more files, or the host no more memory, for a connection or a question.
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_TOLD: ContextVar[Callable[[float], None] | None] = ContextVar("told_of_waiting", default=None)


class LookupFailed(OSError):  # noqa: N818 - reads as what happened
    """The name has no address, or DNS did not answer in time. One line."""


class LookupPutOff(LookupFailed):
    """The name was not asked at all, for want of something of ours. It says nothing about the host."""


@contextmanager
def telling_waits(tell: Callable[[float], None]) -> Iterator[None]:
    """Look-ups inside tell how many more seconds (negative: fewer) they wait for a thread: no fault of the host."""
    token = _TOLD.set(tell)
    try:
        yield
    finally:
        _TOLD.reset(token)


@dataclass(slots=True, eq=False)
class _Question:
    host: str
    begun: Future[float] = field(default_factory=Future)  #: when, by the monotonic clock
    answer: Future[list[str]] = field(default_factory=Future)
    askers: int = 0  #: that wait for it to begin


class SystemLookup:
    """``getaddrinfo`` in threads of its own, so that a dead name server cannot take the event loop's threads.

    A question that is already being asked is joined, not repeated: a host whose DNS hangs holds one thread, whatever
    the number of deliveries, and holds it until it has really ended. Nothing is remembered once it is answered but how
    long that took. Usable from any event loop.
    """

    def __init__(self, timeout_seconds: float = 5, threads: int = THREADS, wait_seconds: float = 1) -> None:
        """``timeout_seconds`` run from when a question was begun; ``wait_seconds`` is the longest wait for a thread."""
        self._timeout_seconds = timeout_seconds
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()  #: for all below: questions end in their threads
        self._shares = Shares(threads, slow_part=SLOW_PART)
        self._asked: dict[str, _Question] = {}
        self._waiting: dict[str, _Question] = {}  #: those of them that have no thread yet, in their order
        self._closed = False

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of the host. Raises LookupFailed after the deadline or when there is none, and LookupPutOff
        when it could not be asked."""
        question = self._join(host)
        if not question.begun.done():
            await self._wait_for_thread(question)
        deadline = question.begun.result() + self._timeout_seconds
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await _result_of(question.answer)
        except TimeoutError:
            with self._lock:
                self._shares.note(host, self._timeout_seconds)
            raise LookupFailed(f"no DNS answer for {host} within {self._timeout_seconds:g} s") from None

    def close(self) -> None:
        """Begins no question any more; one under way is not waited for."""
        with self._lock:
            self._closed = True
            for question in self._waiting.values():
                self._asked.pop(question.host, None)
                question.begun.set_exception(_not_asked(question.host))
            self._waiting.clear()

    def _join(self, host: str) -> _Question:
        with self._lock:
            question = self._asked.get(host)
            if question is None:
                if self._closed:
                    raise _not_asked(host)
                question = self._asked[host] = _Question(host)
                if self._shares.room(host) > 0:
                    self._begin(question)
                else:
                    self._waiting[host] = question
            question.askers += 1
            return question

    async def _wait_for_thread(self, question: _Question) -> None:
        tell, began = _TOLD.get(), time.monotonic()
        if tell is not None:
            tell(self._wait_seconds)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await _result_of(question.begun)
        except TimeoutError:
            if not question.begun.done():
                raise _not_asked(question.host) from None
        finally:
            self._stop_waiting(question)
            if tell is not None:
                tell(time.monotonic() - began - self._wait_seconds)

    def _stop_waiting(self, question: _Question) -> None:
        """What nobody waits for any more is not asked."""
        with self._lock:
            question.askers -= 1
            if question.askers <= 0 and self._waiting.get(question.host) is question:
                del self._waiting[question.host], self._asked[question.host]

    def _begin(self, question: _Question) -> None:
        """The caller holds the lock."""
        # A daemon: at its end the process does not wait for a name server.
        thread = threading.Thread(target=self._ask, args=(question,), name="dns", daemon=True)
        self._shares.take(question.host)
        question.begun.set_result(time.monotonic())
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            self._shares.give(question.host)
            del self._asked[question.host]
            question.answer.set_exception(_not_asked(question.host))

    def _ask(self, question: _Question) -> None:
        """A thread's work: the question, and what waited for its end."""
        began = time.monotonic()
        addresses: list[str] = []
        failure: BaseException | None = None
        try:
            addresses = _addresses_of(question.host)
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait for the answer must hear of it
            failure = error
        with self._lock:
            del self._asked[question.host]
            self._shares.give(question.host)
            self._shares.note(question.host, time.monotonic() - began)
            for waiting in [one for one in self._waiting.values() if self._shares.room(one.host) > 0]:
                if self._shares.room(waiting.host) > 0:  # still, after those before it
                    del self._waiting[waiting.host]
                    self._begin(waiting)
        if failure is None:
            question.answer.set_result(addresses)
        else:
            question.answer.set_exception(failure)


async def _result_of(future: Future[_T]) -> _T:
    """Its result, from another thread. One who stops waiting does not end it for the others."""
    if not future.done():
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(_: Future[_T]) -> None:
            with suppress(RuntimeError):  # that loop is closed: nobody waits there
                loop.call_soon_threadsafe(ended.set)

        future.add_done_callback(tell)
        await ended.wait()
    return future.result()


def _not_asked(host: str) -> LookupPutOff:
    return LookupPutOff(f"{host} was not looked up: every thread for that is taken")


def _addresses_of(host: str) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if _is_ours(error):
            raise LookupPutOff(f"{host} was not looked up ({error})") from None
        raise LookupFailed(f"{host} does not resolve ({getattr(error, 'strerror', None) or 'bad name'})") from None
    return list(dict.fromkeys(_text_of(sockaddr) for *_, sockaddr in answers))


def _is_ours(error: OSError | UnicodeError) -> bool:
    if isinstance(error, socket.gaierror):  # its numbers are of another kind
        return error.errno == socket.EAI_MEMORY
    return isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES


def _text_of(sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    host = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
