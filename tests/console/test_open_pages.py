"""Pages of one person that go on by themselves: how many, and which is let go."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from tests.console.test_live import PAGE, Drawn, News
from workers.web.console.live import LET_GO, Channels, Watcher, send_on
from workers.web.console.open_pages import MOST_OF_ONE, OpenPages


def test_for_one_page_more_the_oldest_of_that_person_is_let_go_and_nobody_elses():
    pages, others = OpenPages(), Watcher()
    mine = [Watcher() for _ in range(MOST_OF_ONE + 1)]
    with ExitStack() as open_pages:
        open_pages.enter_context(pages.page("m.ito", others))
        for watcher in mine:
            open_pages.enter_context(pages.page("j.brandt", watcher))

        assert [watcher.is_let_go for watcher in mine] == [True] + [False] * MOST_OF_ONE
        assert not others.is_over


def test_a_page_that_is_closed_makes_room():
    pages, first = OpenPages(), Watcher()
    with ExitStack() as open_pages:
        open_pages.enter_context(pages.page("j.brandt", first))
        for _ in range(3 * MOST_OF_ONE):
            with pages.page("j.brandt", Watcher()):
                assert not first.is_over


def test_a_page_that_is_let_go_is_told_so_and_ends():
    async def may():
        return True

    async def go():
        channels = Channels(News().read, look_seconds=0.001)
        watcher = channels.join(PAGE, Drawn().draw, {}, 3600)
        pieces = send_on(watcher, may)
        for _ in range(2):
            await anext(pieces)
        watcher.let_go()
        return [piece async for piece in pieces]

    assert asyncio.run(go())[-1] == LET_GO


def test_a_page_that_ends_with_the_process_comes_back_by_itself():
    async def may():
        return True

    async def go():
        watcher = Watcher()
        watcher.end()
        return [piece async for piece in send_on(watcher, may)]

    assert LET_GO not in asyncio.run(go())
