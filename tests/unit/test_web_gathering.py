"""Requests that come together share a call of the store."""

from __future__ import annotations

import asyncio

import pytest

from workers.web.gathering import Gathering
from workers.web.threads import StoreThreads


@pytest.mark.parametrize(("turns", "calls"), [(0, [1, 1]), (3, [2])])
def test_what_comes_within_so_many_turns_joins_the_call(turns, calls):
    made = []

    def keep(items):
        made.append(len(items))
        return items

    async def ask_two():
        gathering = Gathering(StoreThreads(1), keep, most=100, most_waiting=100, seconds=60, turns=turns)
        first = asyncio.create_task(gathering.ask("first"))
        for _ in range(2):
            await asyncio.sleep(0)
        return [await gathering.ask("second"), await first]

    assert asyncio.run(ask_two()) == ["second", "first"]
    assert made == calls
