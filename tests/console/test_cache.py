"""What is read beside the pages: who waits, for how long, and what is told meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from workers.web.console.cache import CachedValue


class Slow:
    """Something to read that takes until a test lets it go on. ``time``: of the clock it is kept by."""

    def __init__(self) -> None:
        self.readings = 0
        self.go_on = asyncio.Event()
        self.time = 0.0

    async def read(self) -> int:
        self.readings += 1
        number = self.readings
        await self.go_on.wait()
        if number < 0:
            raise TimeoutError
        return number

    def kept(self) -> CachedValue[int]:
        return CachedValue(self.read, 5.0, 60.0, clock=lambda: self.time)


async def read_once(then_seconds):
    """Something that was read so long ago, and now takes long again."""
    slow = Slow()
    kept = slow.kept()
    slow.go_on.set()
    await kept.take(60.0)
    slow.go_on.clear()
    slow.time += then_seconds
    return slow, kept


def test_who_comes_first_waits_no_longer_than_they_have_patience():
    async def go():
        slow = Slow()
        kept = slow.kept()
        first = await kept.take(0.0)
        slow.go_on.set()
        return first, await kept.take(60.0)

    assert asyncio.run(go()) == (None, 1)


def test_what_was_read_before_is_told_while_it_is_read_anew():
    async def go():
        slow, kept = await read_once(then_seconds=6.0)
        meanwhile = await kept.take(0.0)
        slow.go_on.set()
        return meanwhile, await kept.take(60.0), slow.readings

    assert asyncio.run(go()) == (1, 2, 2)


def test_a_thousand_who_come_at_once_are_one_reading():
    async def go():
        slow = Slow()
        kept = slow.kept()
        all_of_them = [asyncio.create_task(kept.take(60.0)) for _ in range(1000)]
        await asyncio.sleep(0)
        slow.go_on.set()
        return set(await asyncio.gather(*all_of_them)), slow.readings

    assert asyncio.run(go()) == ({1}, 1)


def test_patience_counts_from_when_the_reading_began():
    async def go():
        slow = Slow()
        kept = slow.kept()
        await kept.take(0.0)
        slow.time += 3600.0
        return await kept.take(1800.0)

    assert asyncio.run(go()) is None


def test_what_is_too_old_is_told_to_nobody():
    async def go():
        _, kept = await read_once(then_seconds=61.0)
        return kept.has_some(), await kept.take(0.0)

    assert asyncio.run(go()) == (False, None)


def test_what_a_reading_raises_is_for_those_who_wait_and_the_next_one_reads_again():
    async def go():
        slow = Slow()
        kept = slow.kept()
        slow.go_on.set()
        slow.readings = -2
        with pytest.raises(TimeoutError):
            await kept.take(60.0)
        slow.readings = 0
        return await kept.take(60.0)

    assert asyncio.run(go()) == 1
