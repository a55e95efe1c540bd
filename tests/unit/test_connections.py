"""Connections for webhooks: bounded for each endpoint and each host, and waited for lane by lane."""

from __future__ import annotations

import asyncio
import math

import pytest

from workers.outbound.connections import Connections

PATIENCE = 30.0


def run(story):
    return asyncio.run(asyncio.wait_for(story, 60))


async def take_what_is_there(connections, endpoint, host):
    count = 0
    while connections.room(endpoint, host) > 0:
        assert await connections.take(endpoint, host, PATIENCE)
        count += 1
    return count


def test_all_endpoints_of_a_host_have_half_of_them_at_most() -> None:
    async def story():
        connections = Connections(64)
        for number in range(50):
            await take_what_is_there(connections, f"ep_{number}", "slow.example")
        assert connections.cap("ep_new", "slow.example") == 0
        connections.note("ep_other", 0.01)
        assert await take_what_is_there(connections, "ep_other", "quick.example") >= 8
        return sum(connections.cap(f"ep_{number}", "slow.example") for number in range(50))

    assert run(story()) <= 32


def test_what_is_given_back_goes_to_the_endpoint_that_holds_least() -> None:
    async def story():
        connections, got = Connections(1), []

        async def use(endpoint):
            assert await connections.take(endpoint, endpoint, PATIENCE)
            got.append(endpoint)
            connections.give(endpoint, endpoint)

        assert await connections.take("first", "first", PATIENCE)
        users = [asyncio.create_task(use(name)) for name in ("a", "a", "a", "b")]
        await asyncio.sleep(0)
        connections.give("first", "first")
        await asyncio.gather(*users)
        return got, connections.cap("c", "c")

    got, cap = run(story())
    assert (sorted(got), cap) == (["a", "a", "a", "b"], 1)


def test_who_waited_for_too_long_is_told_and_holds_nothing() -> None:
    async def story():
        connections = Connections(1)
        assert await connections.take("a", "a", PATIENCE)
        assert not await connections.take("b", "b", 0.01)
        connections.give("a", "a")
        assert connections.cap("b", "b") == 1
        assert await connections.take("b", "b", math.inf)

    run(story())


@pytest.mark.parametrize("granted", [False, True])
def test_one_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next(granted) -> None:
    async def story():
        connections = Connections(1)
        assert await connections.take("a", "a", PATIENCE)
        first, second = (asyncio.create_task(connections.take(name, name, PATIENCE)) for name in ("b", "c"))
        await asyncio.sleep(0)
        if granted:
            connections.give("a", "a")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        if not granted:
            connections.give("a", "a")
        assert await second
        connections.give("c", "c")
        assert connections.cap("d", "d") == 1

    run(story())
