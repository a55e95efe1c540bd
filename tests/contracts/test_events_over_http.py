"""``GET /v1/events``: pages, lines and streams of the log; what can't be followed; how little many readers cost."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from math import inf

import pytest
from sqlalchemy import event

from domain.permissions import Scope
from tests.contracts.api_cases import ADMIN
from tests.contracts.log_cases import Asgi, place, streaming
from tests.contracts.store_cases import change, judge, now, pend, rows, seen
from workers.store.operate.tokens import revoke
from workers.store.reads.log import Entry
from workers.store.tables import EVENT
from workers.web.api import events as events_module
from workers.web.api import following
from workers.web.api.absence import Absence
from workers.web.api.events import chosen


def told(database):
    """Every event's bytes, by number."""
    return [json.loads(row.body) for row in rows(database, EVENT)]


# ---------------------------------------------------------------- pages


def test_pages_follow_each_other_without_a_gap_or_a_repeat(service, get, database):
    first, second = pend(service.store, 2)
    for one in (first, second):
        judge(service.store, one, seen("paid"))
    place(service.store)
    after, found = 0, []
    while page := get(f"/v1/events?after={after}&limit=3").json():
        if not page["events"]:
            break
        found += page["events"]
        after = page["next"]
    assert [one["position"] for one in found] == [1, 2, 3, 4]
    assert [one["event"] for one in found] == told(database)
    assert get("/v1/events").json()["events"] == found
    assert get("/v1/events?after=4").json() == {"events": [], "next": 4}
    assert get("/v1/events?after=3").json()["next"] == 4


def test_an_event_without_a_position_is_not_told_yet(service, get):
    pend(service.store)
    assert get("/v1/events?after=0").json() == {"events": [], "next": 0}
    place(service.store, tell=False)
    assert get("/v1/events?after=0").json()["next"] == 1


def test_lines_where_they_are_asked_for(service, get):
    pend(service.store, 3)
    place(service.store)
    answered = get("/v1/events?limit=2", headers={"accept": "application/x-ndjson"})
    assert answered.headers["content-type"] == "application/x-ndjson"
    assert answered.headers["next-position"] == "2"
    assert [json.loads(line)["position"] for line in answered.text.splitlines()] == [1, 2]
    assert get("/v1/events?after=3", headers={"accept": "application/x-ndjson"}).content == b""


def test_what_was_removed_or_never_given_is_410_with_the_ends(service, get, database):
    pend(service.store, 3)
    place(service.store)
    numbers = [row.number for row in rows(database, EVENT)]
    change(database, EVENT, EVENT.c.number.in_(numbers[:2]), created_at=now(database) - timedelta(days=91))
    service.store.remove_finished(timedelta(days=90))
    for after in (0, 1, 4, 2**53, 10**30):
        for accept in ("application/json", "application/x-ndjson", "text/event-stream"):
            answered = get(f"/v1/events?after={after}", headers={"accept": accept})
            assert (answered.status_code, answered.json()["oldest"], answered.json()["newest"]) == (410, 2, 3)
    assert get("/v1/events?after=2").json()["next"] == 3
    assert [one["position"] for one in get("/v1/events").json()["events"]] == [3], "what is kept"


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1.0", "limit=0", "limit=1001", "limit=", "from=1", "after=1&after=2"]
)
def test_a_query_that_can_t_be_meant_is_400(get, query):
    assert get(f"/v1/events?{query}").status_code == 400


def test_who_may_not_read_is_403(service, get):
    token = service.add_token(Scope.ORDERS)
    assert {get(path, token=token).status_code for path in ("/v1/events", "/v1/snapshot")} == {403}


def test_a_token_sees_its_accounts_and_comes_past_the_others(service, get):
    (mine,) = pend(service.store, account="nebulox")
    pend(service.store, 2)
    place(service.store)
    token = service.add_token(Scope.READ, accounts=["nebulox"])
    page = get("/v1/events?after=0", token=token).json()
    assert ([one["event"]["subject"] for one in page["events"]], page["next"]) == ([mine], 3)
    assert get("/v1/events?after=1", token=token).json() == {"events": [], "next": 3}
    lines = get("/v1/events?after=1", token=token, headers={"accept": "application/x-ndjson"})
    assert (lines.content, lines.headers["next-position"]) == (b"", "3")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("application/json;q=0.1, text/event-stream;q=0", "application/json"),
        ("application/x-ndjson; q=0.9, */*;q=0.1", "application/x-ndjson"),
    ],
)
def test_the_form_is_the_one_that_is_wanted_most(accept, form):
    assert chosen(accept) == form


# ---------------------------------------------------------------- streams


def test_a_stream_tells_what_was_and_goes_on_live(service, database):
    async def story():
        first, second = pend(service.store, 2)
        place(service.store)
        async with streaming(service) as reader:
            await reader.until(lambda it: len(it.events) == 2)
            for one in (second, first):
                await asyncio.to_thread(judge, service.store, one, seen("paid"))
                await asyncio.to_thread(place, service.store)
            await reader.until(lambda it: len(it.events) == 4)
            return reader.events

    assert asyncio.run(story()) == list(enumerate(told(database), 1))
    assert len(service.served.following) == 0


@pytest.mark.parametrize("way", ["after", "Last-Event-ID", "both"])
def test_a_stream_goes_on_after_the_last_id(service, way):
    async def story():
        pend(service.store, 4)
        place(service.store)
        query = {"after": b"after=2", "Last-Event-ID": b"", "both": b"after=1"}[way]
        headers = {} if way == "after" else {"last-event-id": "2"}
        async with streaming(service, query, **headers) as reader:
            await reader.until(lambda it: len(it.events) == 2)
            return [position for position, _ in reader.events]

    assert asyncio.run(story()) == [3, 4]


def test_a_stream_of_a_token_has_its_accounts_events(service):
    async def story():
        token = service.add_token(Scope.READ, accounts=["nebulox"])
        pend(service.store)
        pend(service.store, account="nebulox")
        place(service.store)
        async with streaming(service, token=token) as reader:
            await reader.until(lambda it: it.events)
            await asyncio.to_thread(pend, service.store)
            await asyncio.to_thread(pend, service.store, account="nebulox")
            await asyncio.to_thread(place, service.store)
            await reader.until(lambda it: len(it.events) == 2)
            return [(position, event["source"]) for position, event in reader.events]

    assert asyncio.run(story()) == [(2, "/invoices/nebulox"), (4, "/invoices/nebulox")]


def test_a_stream_with_nothing_to_tell_shows_that_it_lives(service, monkeypatch):
    monkeypatch.setattr(events_module, "HEARTBEAT_SECONDS", 0.01)

    async def story():
        async with streaming(service) as reader:
            await reader.until(lambda it: it.text.count(": waiting") >= 2)
            assert reader.text.startswith("retry: 1000\n\n")

    asyncio.run(story())


def test_a_stop_ends_every_stream_with_the_position_to_come_back_to(service):
    async def story():
        pend(service.store, 2)
        place(service.store)
        async with streaming(service) as reader, streaming(service, b"after=1") as other:
            await reader.until(lambda it: len(it.events) == 2)
            await other.until(lambda it: it.events)
            service.served.on_stop()
            for one in (reader, other):
                await one.until(lambda it: it.is_complete)
                assert one.events[-1] == ("end", {"why": "stop", "after": 2})
        async with streaming(service) as late:  # one that was on its way
            await late.until(lambda it: it.is_complete)
            assert late.events[-1][0] == "end"

    asyncio.run(story())


def test_a_revoked_token_s_stream_ends(service, monkeypatch):
    monkeypatch.setattr(following, "TOKEN_SECONDS", 0.0)

    async def story():
        token = service.add_token(Scope.READ)
        async with streaming(service, token=token) as reader, streaming(service) as other:
            await asyncio.to_thread(revoke, service.store, ADMIN, token.partition(".")[0])
            await reader.until(lambda it: it.is_complete)
            assert reader.events == [("end", {"why": "token", "after": 0})]
            assert not other.is_complete

    asyncio.run(story())


def test_a_reader_that_falls_behind_gets_what_was_kept_and_is_told_where_to_go_on(service, monkeypatch):
    monkeypatch.setattr(following, "QUEUE_EVENTS", 3)
    follower = following.Follower("tok_1", None, 0)
    entries = [Entry(position, None, b"{}") for position in range(1, 6)]

    async def story():
        follower.offer(entries)
        follower.offer([Entry(6, None, b"{}")])
        return b"".join([piece async for piece in events_module._live(follower)]).decode()

    found = asyncio.run(story())
    assert [line for line in found.split("\n") if line.startswith("id")] == ["id: 1", "id: 2", "id: 3", "id: 3"]
    assert found.endswith('event: end\nid: 3\ndata: {"why": "slow", "after": 3}\n\n')


def test_two_thousand_readers_cost_the_statements_of_one(service, database, monkeypatch):
    """No statement is any reader's own: not while they follow, and not when they come back a little later."""

    async def cost(readers):
        statements, last = [], len(rows(database, EVENT))

        def count(*given):
            statements.append(given[2])

        async with streaming(service, b"after=%d" % last) as first:
            others = [service.served.following.join("tok", None, last) for _ in range(readers - 1)]
            event.listen(database.engine, "before_cursor_execute", count)
            await asyncio.to_thread(pend, service.store, 2)
            await asyncio.to_thread(place, service.store)
            await first.until(lambda it: len(it.events) == 2)
            found = [await other.take(60) for other in others]
            event.remove(database.engine, "before_cursor_execute", count)
            assert all([entry.position for entry in one] == [last + 1, last + 2] for one in found)
            assert service.served.following.covers(last), "who comes back joins at once"
            for other in others:
                service.served.following.leave(other)
        return len(statements)

    async def story():
        monkeypatch.setattr(service.served.following, "_away", Absence(0.5))  # few looks that find nothing
        monkeypatch.setattr(following, "TOKEN_SECONDS", inf)  # the followers' token is made up
        return await cost(1), await cost(2000)

    alone, together = asyncio.run(story())
    assert together < alone + 100  # looks that found nothing, on a busy machine; a statement each would be thousands


def test_who_has_been_away_for_longer_reads_what_it_missed_and_joins_the_others(service, monkeypatch):
    monkeypatch.setattr(following, "KEPT_EVENTS", 2)
    monkeypatch.setattr(events_module, "CATCH_UP_EVENTS", 3)

    async def story():
        pend(service.store, 2)
        place(service.store)
        async with streaming(service) as reader:
            await reader.until(lambda it: len(it.events) == 2)
            await asyncio.to_thread(pend, service.store, 8)
            await asyncio.to_thread(place, service.store)
            await reader.until(lambda it: len(it.events) == 10)
            assert not service.served.following.covers(1)
            async with streaming(service, b"after=1") as late:
                await late.until(lambda it: len(it.events) == 9)
                await asyncio.to_thread(pend, service.store)
                await asyncio.to_thread(place, service.store)
                await late.until(lambda it: len(it.events) == 10)
                await reader.until(lambda it: len(it.events) == 11)
                return [position for position, _ in late.events], [position for position, _ in reader.events]

    assert asyncio.run(story()) == (list(range(2, 12)), list(range(1, 12)))


def test_a_stream_of_what_can_t_be_followed_is_a_problem_before_it_begins(service):
    async def story():
        headers = [("authorization", f"Bearer {service.token}"), ("accept", "text/event-stream")]
        reader = Asgi(service.application, "/v1/events", b"after=7", headers)
        await reader.task
        return reader.status, json.loads(reader.text)["type"]

    assert asyncio.run(story()) == (410, "urn:invoices:problem:position-gone")
