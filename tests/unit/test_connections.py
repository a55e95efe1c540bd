"""Connections for webhooks: bounded for each endpoint, and waited for endpoint by endpoint."""

from __future__ import annotations

import asyncio
import math

import pytest

from workers.http.connections import Connections

PATIENCE = 120.0


def run(story):
    return asyncio.run(asyncio.wait_for(story, 60))


def test_what_is_given_back_goes_to_the_endpoint_that_holds_least() -> None:
    async def story():
        connections, got = Connections(2), []

        async def use(endpoint):
            assert await connections.take(endpoint, PATIENCE)
            got.append(endpoint)

        for endpoint in ("a", "b", "c"):
            connections.note(endpoint, 0.01)
        for endpoint in ("a", "b"):
            assert await connections.take(endpoint, PATIENCE)
        users = [asyncio.create_task(use(endpoint)) for endpoint in ("a", "a", "c")]
        await asyncio.sleep(0)
        for endpoint in ("b", "a", "c"):
            connections.give(endpoint)
            await asyncio.sleep(0)
        connections.give("a")
        await asyncio.gather(*users)
        return got

    assert run(story()) == ["c", "a", "a"]


def test_nobody_waits_behind_one_that_has_gone() -> None:
    async def story():
        connections = Connections(1)
        assert await connections.take("a", PATIENCE)
        gone = asyncio.create_task(connections.take("b", PATIENCE))
        await asyncio.sleep(0)
        gone.cancel()
        connections.give("a")
        assert await connections.take("b", PATIENCE)

    run(story())


def test_who_waited_for_too_long_is_told_and_holds_nothing() -> None:
    async def story():
        connections = Connections(1)
        assert await connections.take("a", PATIENCE)
        assert not await connections.take("b", 0.01)
        connections.give("a")
        assert connections.cap("b") == 1
        assert await connections.take("b", math.inf)

    run(story())


@pytest.mark.parametrize("granted", [False, True])
def test_one_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next(granted) -> None:
    async def story():
        connections = Connections(1)
        assert await connections.take("a", PATIENCE)
        first, second = (asyncio.create_task(connections.take(name, PATIENCE)) for name in ("b", "c"))
        await asyncio.sleep(0)
        if granted:
            connections.give("a")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        if not granted:
            connections.give("a")
        assert await second
        connections.give("c")
        assert connections.cap("d") == 1

    run(story())
