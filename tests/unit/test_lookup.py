"""Names share threads: what hangs holds a few of them, what never got one was not asked and fails nobody."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from contextlib import contextmanager

import pytest

from workers.http.name_lookup import LookupFailed, LookupPutOff, SystemLookup, telling_waits

PATIENCE = 120.0


class Names:
    """The system's resolver: names that begin with ``dead`` hang until released, ``gone`` fail, others are here."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()
        self.hanging = 0
        self.most_hanging = 0
        self._lock = threading.Lock()

    def getaddrinfo(self, host, *_, **__):
        with self._lock:
            self.asked.append(host)
            self.hanging += host.startswith("dead")
            self.most_hanging = max(self.most_hanging, self.hanging)
        if host.startswith("dead"):
            self.released.wait(PATIENCE)
            with self._lock:
                self.hanging -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host.startswith("gone"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


@pytest.fixture
def names(monkeypatch):
    made = Names()
    monkeypatch.setattr("socket.getaddrinfo", made.getaddrinfo)
    yield made
    made.released.set()


@contextmanager
def looking_up(**settings):
    lookup = SystemLookup(**settings)
    try:
        yield lookup
    finally:
        lookup.close()


def run(story):
    return asyncio.run(asyncio.wait_for(story, PATIENCE))


async def outcomes(lookup, hosts):
    found = await asyncio.gather(*(lookup(host, 443) for host in hosts), return_exceptions=True)
    return [type(one).__name__ if isinstance(one, Exception) else one for one in found]


def test_forty_dead_names_leave_a_name_that_nobody_asked_before_its_answer(names) -> None:
    async def story():
        with looking_up(timeout_seconds=1.0) as lookup:
            dead = await outcomes(lookup, [f"dead{n}.example" for n in range(40)])
            assert names.hanging == 40  # still: a question that was given up holds its thread
            return dead, await lookup("shop.example", 443)

    assert run(story()) == (["LookupFailed"] * 40, ["192.0.2.1"])


@pytest.mark.parametrize("good", ["shop.example", "gone.example"])
def test_whatever_hangs_a_name_that_answered_quickly_is_asked_at_once(names, good) -> None:
    async def story():
        with looking_up(timeout_seconds=1.0, threads=8, wait_seconds=0.05) as lookup:
            before = await outcomes(lookup, [good])
            await outcomes(lookup, [f"dead{n}.example" for n in range(100)])
            assert names.hanging == 7
            return before, await outcomes(lookup, [good] * 5)

    before, after = run(story())
    assert after == before * 5
    assert before[0] in (["192.0.2.1"], "LookupFailed")


def test_names_that_were_slow_share_a_quarter_of_the_threads(names) -> None:
    dead = [f"dead{n}.example" for n in range(7)]

    async def story():
        with looking_up(timeout_seconds=1.2, threads=8, wait_seconds=0.05) as lookup:
            assert await outcomes(lookup, dead) == ["LookupFailed"] * 7
            names.released.set()
            while names.hanging or threading.active_count() > before:  # noqa: ASYNC110 - threads tell nobody
                await asyncio.sleep(0.01)
            names.released.clear()
            names.most_hanging = 0
            again = await outcomes(lookup, dead)
            return again, await lookup("shop.example", 443)

    before = threading.active_count()
    again, good = run(story())
    assert sorted(again) == ["LookupFailed"] * 2 + ["LookupPutOff"] * 5
    assert (names.most_hanging, good) == (2, ["192.0.2.1"])


def test_a_name_that_got_no_thread_is_not_asked_and_says_so(names) -> None:
    async def story():
        with looking_up(timeout_seconds=0.05, threads=1, wait_seconds=0.01) as lookup:
            assert await outcomes(lookup, ["dead.example"]) == ["LookupFailed"]
            with pytest.raises(LookupPutOff, match=r"shop\.example was not looked up"):
                await lookup("shop.example", 443)

    run(story())
    assert names.asked == ["dead.example"]


def test_the_time_of_a_question_runs_from_when_it_was_begun_and_its_wait_is_told(names) -> None:
    told: list[float] = []

    async def story():
        with looking_up(timeout_seconds=0.05, threads=1, wait_seconds=PATIENCE) as lookup:
            assert await outcomes(lookup, ["dead.example"]) == ["LookupFailed"]
            with telling_waits(told.append):
                waiting = asyncio.create_task(lookup("shop.example", 443))
                await asyncio.sleep(0.2)  # longer than a question may take
                names.released.set()
                return await waiting

    assert run(story()) == ["192.0.2.1"]
    assert told[0] == PATIENCE
    assert 0.1 < sum(told) < PATIENCE


def test_one_who_stops_waiting_ends_nothing_for_the_others(names) -> None:
    async def story():
        with looking_up(threads=1, wait_seconds=PATIENCE) as lookup:
            tasks = [asyncio.create_task(lookup("dead.example", 443)) for _ in range(3)]
            waiting = [asyncio.create_task(lookup("shop.example", 443)) for _ in range(3)]
            forsaken = asyncio.create_task(lookup("other.example", 443))
            await asyncio.sleep(0.01)
            for task in (tasks[0], waiting[0], forsaken):
                task.cancel()
            await asyncio.gather(tasks[0], waiting[0], forsaken, return_exceptions=True)
            names.released.set()
            found = await asyncio.gather(*tasks[1:], *waiting[1:], return_exceptions=True)
            return [type(one).__name__ if isinstance(one, Exception) else one for one in found]

    assert run(story()) == ["LookupFailed"] * 2 + [["192.0.2.1"]] * 2
    assert names.asked == ["dead.example", "shop.example"]


def test_a_system_that_gives_no_more_threads_is_no_fault_of_the_host(names, monkeypatch) -> None:
    def refuse(_):
        raise RuntimeError("can't start new thread")

    async def story():
        with looking_up(threads=1) as lookup:
            with monkeypatch.context() as patched:
                patched.setattr("threading.Thread.start", refuse)
                assert await outcomes(lookup, ["shop.example"] * 2) == ["LookupPutOff"] * 2
            return await lookup("shop.example", 443)

    assert run(story()) == ["192.0.2.1"]


def test_a_lookup_that_was_closed_asks_nothing_and_leaves_nobody_waiting(names) -> None:
    async def story():
        with looking_up(threads=1, wait_seconds=PATIENCE) as lookup:
            hanging = asyncio.create_task(lookup("dead.example", 443))
            waiting = asyncio.create_task(lookup("shop.example", 443))
            await asyncio.sleep(0.01)
            lookup.close()
            with pytest.raises(LookupPutOff):
                await waiting
            with pytest.raises(LookupPutOff):
                await lookup("other.example", 443)
            names.released.set()
            with pytest.raises(LookupFailed, match="does not resolve"):
                await hanging

    run(story())
    assert names.asked == ["dead.example"]


def test_a_failure_of_another_kind_is_told_to_all_who_wait(monkeypatch) -> None:
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("socket.getaddrinfo", fail)

    async def story():
        with looking_up() as lookup:
            return await outcomes(lookup, ["shop.example"] * 2)

    assert run(story()) == ["ZeroDivisionError"] * 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
    ],
)
def test_a_process_out_of_files_or_memory_has_not_asked(monkeypatch, error) -> None:
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("socket.getaddrinfo", fail)

    async def story():
        with looking_up() as lookup:
            return await outcomes(lookup, ["shop.example"])

    assert run(story()) == ["LookupPutOff"]
