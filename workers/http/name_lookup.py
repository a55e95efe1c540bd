"""Host names to addresses, within bounds: a deadline, threads of its own, one question at a time for each name.

``getaddrinfo`` can't be cancelled: a name whose server does not answer holds its thread for up to half a minute. So the
threads are shared out: names that were slow lately may use a quarter of them, and names that are answered quickly,
whatever the answer, always find one.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from workers.http.shares import Shares

_T = TypeVar("_T")

THREADS = 256  #: started when needed; each ends with its question
SLOW_PART = 0.25  #: the part of the threads that names may use that were slow lately

#: The process has no more files, or the host no more memory, for a connection or a question.
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_TOLD: ContextVar[Callable[[float], None] | None] = ContextVar("told_of_waiting", default=None)


class LookupFailed(OSError):  # noqa: N818 - reads as what happened
    """The name has no address, or DNS did not answer in time. One line."""


class LookupPutOff(LookupFailed):
    """The name was not looked up, because this host lacked something. It says nothing about the name's host."""


@contextmanager
def telling_waits(tell: Callable[[float], None]) -> Iterator[None]:
    """Look-ups made inside report the seconds they wait for a thread, which are no fault of the name's host: first the
    longest possible wait, then (negative) what they did not need of it."""
    token = _TOLD.set(tell)
    try:
        yield
    finally:
        _TOLD.reset(token)


@dataclass(slots=True, eq=False)
class _Question:
    host: str
    begun: Future[float] = field(default_factory=Future)  #: when it was begun, by the monotonic clock
    answer: Future[list[str]] = field(default_factory=Future)
    askers: int = 0  #: how many wait for it to begin


class SystemLookup:
    """``getaddrinfo`` in threads of its own, so that a dead name server can't take up the event loop's threads.

    A question that is already under way is joined, not repeated: a name whose DNS hangs holds one thread, however many
    deliveries wait for it. Of an answered question only its time is remembered. Usable from any event loop.
    """

    def __init__(self, timeout_seconds: float = 5, threads: int = THREADS, wait_seconds: float = 1) -> None:
        """``timeout_seconds`` run from a question's beginning; ``wait_seconds`` is the longest wait for a thread."""
        self._timeout_seconds = timeout_seconds
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()  #: for everything below: questions end in their threads
        self._shares = Shares(threads, slow_part=SLOW_PART)
        self._asked: dict[str, _Question] = {}
        self._waiting: dict[str, _Question] = {}  #: those of them that have no thread yet, in order of arrival
        self._closed = False

    async def __call__(self, host: str, port: int) -> list[str]:
        """Every address of the host. Raises LookupFailed after the deadline or if there is none, and LookupPutOff if
        the name could not be looked up."""
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
        """Begin no more questions. Those under way are not waited for."""
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
        """A question that nobody waits for any more is not asked."""
        with self._lock:
            question.askers -= 1
            if question.askers <= 0 and self._waiting.get(question.host) is question:
                del self._waiting[question.host], self._asked[question.host]

    def _begin(self, question: _Question) -> None:
        """The caller holds the lock."""
        # A daemon: a process that ends does not wait for a name server.
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
        """A thread's work: ask the question, then begin those that waited for a thread."""
        began = time.monotonic()
        addresses: list[str] = []
        failure: BaseException | None = None
        try:
            addresses = _addresses_of(question.host)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the answer must hear of any error
            failure = error
        with self._lock:
            del self._asked[question.host]
            self._shares.give(question.host)
            self._shares.note(question.host, time.monotonic() - began)
            for waiting in [one for one in self._waiting.values() if self._shares.room(one.host) > 0]:
                if self._shares.room(waiting.host) > 0:  # those before it may have taken the room
                    del self._waiting[waiting.host]
                    self._begin(waiting)
        if failure is None:
            question.answer.set_result(addresses)
        else:
            question.answer.set_exception(failure)


async def _result_of(future: Future[_T]) -> _T:
    """Wait for a future of another thread. A caller that stops waiting does not end it for the others."""
    if not future.done():
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(_: Future[_T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
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
    if isinstance(error, socket.gaierror):  # its numbers are no errno
        return error.errno == socket.EAI_MEMORY
    return isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES


def _text_of(sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> str:
    host = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host
