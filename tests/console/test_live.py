"""Pages that go on by themselves: what is drawn, for whom, and what it costs."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import event
from starlette.responses import Response

from domain.permissions import Role
from tests.console.ground import ROLE, SITE, Ground
from tests.console.pages import PAGES, address
from tests.console.scene import MARKUP
from tests.contracts.store_cases import judge, seen
from workers.web.console.live import MOST_CHANNELS, Channels, Key, message, send_on
from workers.web.console.refusals import NotFound

#: Forms, and what never changes once it is there. An account of who may do what is read when it is looked at.
NOT_LIVE = {
    "/console/endpoints/add",
    "/console/endpoints/{id}/replay",
    "/console/invoices/{id}/raw/{kind}/{number}",
    "/console/jobs/new",
    "/console/people",
    "/console/people/add",
    "/console/people/tokens/add",
    "/console/people/tokens/{id}",
    "/console/people/{id}",
    "/console/rejected/{id}",
    "/console/search",
    "/console/unmatched/{id}",
}
PAGE = Key("/console/invoices", "", "en", Role.ADMIN, None)


class Drawn:
    """A page that says how often it was drawn."""

    def __init__(self) -> None:
        self.text = "one"
        self.drawings = 0

    async def draw(self, request, person):
        self.drawings += 1
        return Response(f"<!--live:rows--><p>{self.text}</p><!--/live--><!--live:rail-->the rail<!--/live-->")


class News:
    """What is newest in the rows."""

    def __init__(self) -> None:
        self.newest = 0

    async def read(self):
        return self.newest


@contextmanager
def counted(database):
    """The statements that a database is sent meanwhile."""
    statements = []

    def note(connection, cursor, statement, *_):
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_a_thousand_who_look_at_a_page_share_one_drawing_of_it():
    async def go():
        page, news = Drawn(), News()
        channels = Channels(news.read, look_seconds=0.001)
        watchers = [channels.join(PAGE, page.draw, {}, 3600) for _ in range(1000)]
        first = [await watcher.take(60) for watcher in watchers]
        page.text, news.newest = "two", 1
        second = [await watcher.take(60) for watcher in watchers]
        for watcher in watchers:
            channels.leave(PAGE, watcher)
        assert len(channels) == 0
        return first, second, page.drawings

    first, second, drawings = asyncio.run(go())

    assert first == [{"rows": "<p>one</p>", "rail": "the rail"}] * 1000
    assert second == [{"rows": "<p>two</p>"}] * 1000
    assert drawings == 2


def test_who_comes_later_is_sent_the_page_as_it_stands_without_another_drawing():
    async def go():
        page = Drawn()
        channels = Channels(News().read, look_seconds=0.001)
        early = channels.join(PAGE, page.draw, {}, 3600)
        await early.take(60)
        late = channels.join(PAGE, page.draw, {}, 3600)
        return await late.take(60), page.drawings

    assert asyncio.run(go()) == ({"rows": "<p>one</p>", "rail": "the rail"}, 1)


def test_a_slow_reader_is_sent_each_part_once_as_it_is_now():
    async def go():
        page, news = Drawn(), News()
        channels = Channels(news.read, look_seconds=0.001)
        slow, quick = (channels.join(PAGE, page.draw, {}, 3600) for _ in range(2))
        for text in ("two", "three"):
            await quick.take(60)
            page.text, news.newest = text, news.newest + 1
        await quick.take(60)
        return await slow.take(60)

    assert asyncio.run(go())["rows"] == "<p>three</p>"


def test_a_page_that_is_gone_ends_its_streams_and_the_process_s_stop_ends_all():
    async def gone(request, person):
        raise NotFound

    async def go():
        channels = Channels(News().read, look_seconds=0.001)
        watcher = channels.join(PAGE, gone, {}, 3600)
        assert await watcher.take(60) == {}
        other = channels.join(PAGE._replace(query="a"), Drawn().draw, {}, 3600)
        await other.take(60)
        channels.end()
        return watcher.is_over, other.is_over, channels.join(PAGE, Drawn().draw, {}, 3600).is_over

    assert asyncio.run(go()) == (True, True, True)


def test_of_too_many_different_pages_the_next_one_stays_as_it_is():
    async def go():
        channels = Channels(News().read)
        for number in range(MOST_CHANNELS):
            channels.join(PAGE._replace(query=str(number)), Drawn().draw, {}, 3600)
        over = channels.join(PAGE, Drawn().draw, {}, 3600).is_over
        channels.end()
        return over

    assert asyncio.run(go())


def test_who_may_watch_no_more_is_sent_nothing_more():
    async def go():
        page = Drawn()
        channels = Channels(News().read, look_seconds=0.001)
        watcher = channels.join(PAGE, page.draw, {}, 3600)

        async def may_not():
            return False

        return [piece async for piece in send_on(watcher, may_not)]

    assert asyncio.run(go()) == [b": watching\n\n"]


def test_an_event_holds_each_part_for_its_place_whatever_lines_it_has():
    told = message({"rows": "a\r\nb\nc", "rail": "d"})

    assert told == (
        b'data: <hx-partial hx-target="#live-rows" hx-swap="innerMorph">a\n'
        b"data: b\n"
        b'data: c</hx-partial><hx-partial hx-target="#live-rail" hx-swap="innerMorph">d</hx-partial>\n\n'
    )


def test_the_real_list_costs_the_database_no_more_for_a_thousand_than_for_one(scene, monkeypatch):
    for age in ("FRESH_SECONDS", "OLD_SECONDS"):  # the verdict is read for all pages, and finds more as time goes by
        monkeypatch.setattr(f"workers.web.console.pulse.{age}", 3600.0)
    ground = Ground(scene)

    async def cost_of(watchers):
        watching = ground.served.watching
        watched, params = watching.find(PAGE.path)
        key = PAGE._replace(query=f"since={watchers}h")
        all_of_them = [watching.channels.join(key, watched.page, params, 3600) for _ in range(watchers)]
        with counted(scene.database) as statements:
            for watcher in all_of_them:
                assert "dpkg-48231" in (await watcher.take(60))["rows"]
        for watcher in all_of_them:
            watching.channels.leave(key, watcher)
        return len(statements)

    async def go():
        await cost_of(2)
        return await cost_of(1), await cost_of(1000)

    of_one, of_thousand = asyncio.run(go())
    ground.close()

    assert 0 < of_thousand <= of_one


def test_a_stream_holds_what_the_page_holds_and_what_a_shop_wrote_is_text(ground, scene):
    async def go():
        channels = ground.served.watching.channels
        watched, params = ground.served.watching.find(PAGE.path)
        watcher = channels.join(PAGE, watched.page, params, 3600)
        whole = await watcher.take(60)
        judge(scene.store, scene.ids["dpkg-48231"], seen("confirming"))
        changed = await watcher.take(60)
        channels.end()
        return whole, changed

    whole, changed = asyncio.run(go())

    assert MARKUP not in whole["rows"]
    assert "&lt;img src=x" in whole["rows"]
    assert 'data-state="confirming' in changed["rows"]


@pytest.mark.parametrize("of", ["", "/console/nothing", "https://elsewhere.example/console/invoices", "//e/console/"])
def test_only_pages_of_the_console_can_be_watched(ground, of):
    assert ground.get("/console/live", params={"of": of}).status_code == 404


def test_who_has_not_signed_in_watches_nothing(ground):
    async def go():
        transport = httpx.ASGITransport(ground.application)
        async with httpx.AsyncClient(transport=transport, base_url=SITE) as client:
            return await client.get("/console/live?of=/console/invoices", headers={ROLE: "nobody"})

    assert asyncio.run(go()).status_code == 303


@pytest.mark.parametrize("page", sorted(set(PAGES) - NOT_LIVE))
def test_every_list_and_every_thing_that_changes_goes_on_by_itself(ground, scene, page):
    shown = ground.get(address(page, scene)).text

    assert "hx-sse:connect" in shown
    assert set(re.findall("<!--live:([a-z-]+)-->", shown)) - {"rail", "verdict"}
