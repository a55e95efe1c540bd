"""``GET /v1/invoices``: one as it is, or as soon as it changes, however many wait; and all of them, page by page."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import event
from starlette.requests import Request

from domain.event import format_time
from domain.evidence import CancelRequested
from domain.permissions import Scope
from tests.contracts.api_cases import order
from tests.contracts.store_cases import invoice_of, judge, queue
from workers.web.api import waiting


def test_its_tag_is_its_sequence_and_what_is_known_is_304(service, get):
    invoice_id = queue(service.store)
    path = f"/v1/invoices/{invoice_id}"

    assert get(path).headers["etag"] == '"0"'
    service.pend(invoice_id)
    answered = get(path, headers={"if-none-match": '"0"'})
    assert (answered.status_code, answered.headers["etag"], answered.json()["sequence"]) == (200, '"1"', 1)
    for known in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answered = get(path, headers={"if-none-match": known})
        assert (answered.status_code, answered.content, answered.headers["etag"]) == (304, b"", '"1"')


def test_what_is_not_there_or_not_the_token_s_is_404(service, get):
    theirs = queue(service.store, "zeroxhost")
    token = service.add_token(Scope.READ, accounts=["nebulox"])

    assert get(f"/v1/invoices/{theirs}", token=token).status_code == 404
    assert get("/v1/invoices/inv_0").status_code == 404
    assert get(f"/v1/invoices/{theirs}").status_code == 200


def test_who_may_not_read_is_403(service, get):
    token = service.add_token(Scope.ORDERS)

    assert get(f"/v1/invoices/{queue(service.store)}", token=token).status_code == 403
    assert get("/v1/invoices", token=token).status_code == 403


@pytest.mark.parametrize(
    "query", ["wait=31", "wait=-1", "wait=x", "wait=1&wait=2", "wait=1&after=x", "colour=red", "wait=1.5", "wait="]
)
def test_a_query_that_means_nothing_is_400(service, get, query):
    assert get(f"/v1/invoices/{queue(service.store)}?{query}").status_code == 400


# --- waiting ----------------------------------------------------------------------------------------------------------


def wait_and_do(service, paths, do, **how):
    """Ask for all of these; ``do`` is called once they wait."""

    async def act():
        async with service.client(how.get("token")) as client:
            asked = [asyncio.create_task(client.get(path)) for path in paths]
            while service.waiting() < len(paths):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            await asyncio.to_thread(do)
            return await asyncio.gather(*asked)

    return asyncio.run(act())


def test_it_answers_as_soon_as_the_sequence_is_higher(service):
    invoice_id = queue(service.store)
    (answered,) = wait_and_do(service, [f"/v1/invoices/{invoice_id}?wait=30&after=0"], lambda: service.pend(invoice_id))

    assert (answered.status_code, answered.json()["status"], answered.headers["etag"]) == (200, "pending", '"1"')


def test_without_an_after_it_waits_for_the_next_change(service):
    invoice_id = queue(service.store)
    service.pend(invoice_id)
    cancel = CancelRequested(reason="given up")
    (answered,) = wait_and_do(
        service, [f"/v1/invoices/{invoice_id}?wait=30"], lambda: judge(service.store, invoice_id, cancel)
    )

    assert answered.json()["status"] == "cancelled"


def test_what_is_higher_already_is_answered_at_once(service, get):
    invoice_id = queue(service.store)
    service.pend(invoice_id)

    assert get(f"/v1/invoices/{invoice_id}?wait=30&after=0").json()["sequence"] == 1


def test_when_the_time_is_up_it_is_answered_as_it_is(service, get):
    path = f"/v1/invoices/{queue(service.store)}?wait=0&after=7"

    assert get(path).json()["status"] == "queued"
    assert get(path, headers={"if-none-match": '"0"'}).status_code == 304


def test_only_those_whose_invoice_changes_are_answered(service):
    first, second = queue(service.store), queue(service.store)

    async def act():
        async with service.client() as client:
            waits = [asyncio.create_task(client.get(f"/v1/invoices/{one}?wait=30")) for one in (first, second)]
            while service.waiting() < 2:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            await asyncio.to_thread(service.pend, first)
            answered = await waits[0]
            still = not waits[1].done()
            await asyncio.to_thread(service.pend, second)
            return answered, still, await waits[1]

    answered, still, then = asyncio.run(act())
    assert still
    assert [answered.json()["id"], then.json()["id"]] == [first, second]


class Statements:
    """Counts what is sent to the database while waiting ones are looked at."""

    def __init__(self, database):
        self.count = 0
        event.listen(database.engine, "before_cursor_execute", self._note)

    def _note(self, *_):
        self.count += 1


@pytest.mark.parametrize("waiters", [1, 2000])
def test_however_many_wait_a_look_is_one_statement(service, monkeypatch, waiters):
    """Two thousand cost what one does: of the same number of looks the statements are counted, not the time."""
    looks = []
    reads = waiting.Waiting(service.threads, service.look, look_seconds=0.001)
    monkeypatch.setattr(service.reads, "waiting", reads)
    ids = [queue(service.store) for _ in range(min(waiters, 20))]
    statements = Statements(service.store.database)

    async def act():
        asked = [asyncio.create_task(reads.until_after(ids[n % len(ids)], 0, 60)) for n in range(waiters)]
        await asyncio.sleep(0)
        assert len(reads) == waiters
        statements.count = 0
        while service.looks < 5:  # noqa: ASYNC110 - another thread counts them
            await asyncio.sleep(0.001)
        looks.append((service.looks, statements.count))
        threads = len(service.threads._executor._threads)
        for one in ids:
            await asyncio.to_thread(service.pend, one)
        return threads, await asyncio.gather(*asked)

    threads, told = asyncio.run(act())
    ((looked, counted),) = looks
    assert told == [True] * waiters
    statements_of_a_look = 1 if service.store.database.is_postgresql else 2  # and SQLite's BEGIN
    assert counted <= (looked + 1) * statements_of_a_look  # one may be under way
    assert threads <= 3
    assert len(reads) == 0


@pytest.mark.parametrize("many", [200, pytest.param(2000, marks=pytest.mark.engines)])
def test_many_requests_wait_side_by_side(service, many):
    ids = [queue(service.store) for _ in range(many // 50)]
    paths = [f"/v1/invoices/{ids[n % len(ids)]}?wait=30&after=0" for n in range(many)]

    def pend_all():
        for one in ids:
            service.pend(one)

    answered = wait_and_do(service, paths, pend_all)
    assert {one.status_code for one in answered} == {200}
    assert {one.json()["sequence"] for one in answered} == {1}
    assert len(service.threads._executor._threads) <= 16


def test_who_leaves_waits_no_more(service):
    invoice_id = queue(service.store)

    async def act():
        async with service.client() as client:
            asked = asyncio.create_task(client.get(f"/v1/invoices/{invoice_id}?wait=30"))
            while service.waiting() < 1:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            return service.waiting()

    assert asyncio.run(act()) == 0


def test_a_connection_that_is_closed_ends_its_wait(service):
    """It would wait for longer than any test may take."""
    row = invoice_of(service.store.database, queue(service.store))

    async def act():
        left = asyncio.Event()

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        request = Request({"type": "http", "headers": []}, receive)
        asked = asyncio.create_task(service.reads.wait(request, row, 0, 10_000))
        while service.waiting() < 1:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        left.set()
        return (await asked).sequence

    assert asyncio.run(act()) == 0


def test_when_the_process_stops_those_that_wait_are_answered(service):
    invoice_id = queue(service.store)
    (answered,) = wait_and_do(service, [f"/v1/invoices/{invoice_id}?wait=30"], service.served.on_stop)

    assert (answered.status_code, answered.json()["status"]) == (200, "queued")


# --- all of them ------------------------------------------------------------------------------------------------------


def pages(service, query):
    """Every page by following the links."""

    async def follow():
        path, found = f"/v1/invoices?{query}", []
        while path:
            answered = await service.ask("GET", path)
            assert answered.status_code == 200, answered.text
            found.append(answered.json())
            path = answered.links.get("next", {}).get("url")
        return found

    return asyncio.run(follow())


def test_they_come_newest_first_page_by_page_each_once(service):
    ids = [queue(service.store) for _ in range(7)]
    found = pages(service, "limit=3&status=queued")

    assert [[one["id"] for one in page["invoices"]] for page in found] == [ids[6:3:-1], ids[3:0:-1], ids[:1]]
    assert [page["next"] for page in found] == [ids[4], ids[1], None]


def test_one_that_comes_meanwhile_moves_no_page(service, get):
    ids = [queue(service.store) for _ in range(4)]
    first = get("/v1/invoices?limit=2")
    queue(service.store)
    second = get(first.links["next"]["url"])

    assert [one["id"] for one in second.json()["invoices"]] == ids[1::-1]
    assert "next" not in second.links


def test_filters_narrow(service, get):
    one, two = queue(service.store), queue(service.store, "nebulox")
    service.pend(one)
    found = {"account=nebulox": [two], "status=pending": [one], "status=paid": [], "order_id=nobody's": []}
    found[f"order_id={invoice_of(service.store.database, two).order_id}"] = [two]

    for query, ids in found.items():
        assert [invoice["id"] for invoice in get(f"/v1/invoices?{query}").json()["invoices"]] == ids, query


def test_since_is_a_time(service, get):
    invoice_id = queue(service.store)
    made = invoice_of(service.store.database, invoice_id).created_at

    def ids(since):
        return [one["id"] for one in get(f"/v1/invoices?since={since}").json()["invoices"]]

    assert ids(format_time(made)) == [invoice_id]
    assert ids(made.isoformat()) == [invoice_id]  # with a plus that was not escaped
    assert ids(format_time(made + timedelta(seconds=1))) == []


def test_only_what_the_token_sees_is_there(service, get):
    ours = queue(service.store, "nebulox")
    queue(service.store, "zeroxhost")
    token = service.add_token(Scope.READ, accounts=["nebulox"])

    assert [one["id"] for one in get("/v1/invoices", token=token).json()["invoices"]] == [ours]
    assert get("/v1/invoices?account=zeroxhost", token=token).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "status=open",
        "since=yesterday",
        "since=2026-11-21",
        "since=2026-11-21T20:19:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "cursor=x",
        "page=2",
    ],
)
def test_a_filter_that_means_nothing_is_400(get, query):
    answered = get(f"/v1/invoices?{query}")

    assert (answered.status_code, answered.headers["content-type"]) == (400, "application/problem+json")


def test_an_order_s_invoice_is_found_by_its_order(service, get):
    sent = asyncio.run(service.send(order("a b/c?&=+ü"))).json()
    answered = get("/v1/invoices", params={"order_id": "a b/c?&=+ü", "limit": 1})

    assert [one["id"] for one in answered.json()["invoices"]] == [sent["id"]]
