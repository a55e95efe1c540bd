"""What no database can be asked for, sent to a web process in every place: answered as what it is, and no other
request's answer is spoiled by it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.permissions import Scope
from tests.contracts.store_cases import queue
from tests.contracts.web_process import ORDER, Site
from tests.migrated import new_sqlite_url
from workers.web.gathering import Gathering
from workers.web.threads import StoreThreads

#: NUL, another control character, half of a character, bytes that are no UTF-8, a mark that turns text round.
STRANGE = ("a%00b", "%00", "inv_%00", "%1B", "%ED%A0%80", "%FF", "%E2%80%AE")
PATHS = (
    "/v1/invoices/{}",
    "/v1/invoices/{}/timeline",
    "/v1/invoices/{}/why",
    "/v1/endpoints/{}",
    "/v1/replays/{}",
)
ACTS = ("/v1/invoices/{}/cancel", "/v1/invoices/{}/mark", "/v1/invoices/{}/recheck", "/v1/endpoints/{}/disable")
QUERIES = (
    "/v1/invoices?order_id={}",
    "/v1/invoices?account={}",
    "/v1/invoices?status={}",
    "/v1/invoices?since={}",
    "/v1/invoices?cursor={}",
    "/v1/deliveries?invoice={}",
    "/v1/deliveries?endpoint={}",
    "/v1/deliveries?state={}",
    "/v1/deliveries?cursor={}",
    "/v1/drift?account={}",
    "/v1/drift?state={}",
    "/v1/events?after={}",
    "/v1/invoices?{}=1",
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request, tmp_path_factory):
    """One process for each database: whatever it is sent, the next test finds it at work."""
    home = tmp_path_factory.mktemp("site")
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = new_sqlite_url(home)
        else:
            url = stack.enter_context(request.getfixturevalue("reused").lend())
        yield stack.enter_context(contextlib.closing(Site(home, url)))


@pytest.fixture
def client(site):
    with site.client(site.token(*Scope)) as client:
        yield client


def statuses(ask, templates):
    return {path: ask(path).status_code for path in (one.format(text) for one in templates for text in STRANGE)}


def test_a_path_is_404_and_a_query_is_400_or_finds_nothing(client):
    found = statuses(client.get, PATHS)
    assert found == dict.fromkeys(found, 404)

    found = statuses(client.get, QUERIES)
    assert set(found.values()) <= {200, 400, 404}
    assert {path: status for path, status in found.items() if "%00" in path and status != 400} == {}

    found = statuses(lambda path: client.post(path, json={"reason": "a", "status": "failed"}), ACTS)
    assert {status for path, status in found.items() if "mark" not in path} <= {404, 422}
    assert set(found.values()) <= {404, 422}
    assert statuses(client.delete, ["/v1/endpoints/{}"]) == dict.fromkeys(
        [f"/v1/endpoints/{text}" for text in STRANGE], 404
    )


def test_requests_beside_it_are_answered(site, client):
    ids = [queue(site.store) for _ in range(4)]

    with ThreadPoolExecutor(16) as beside:
        good = [beside.submit(client.get, f"/v1/invoices/{ids[turn % 4]}") for turn in range(60)]
        bad = [beside.submit(client.get, "/v1/invoices/x%00") for _ in range(60)]
        mixed = [beside.submit(client.get, f"/v1/invoices/{ids[turn % 4]}") for turn in range(60)]

    assert {one.result().status_code for one in good + mixed} == {200}
    assert {one.result().status_code for one in bad} == {404}


def test_headers_and_bodies_are_refused_for_what_they_hold(client):
    sent = [
        client.post("/v1/orders", json=ORDER | fields).status_code
        for fields in (
            {"order_id": "a\0b"},
            {"idempotency_key": "\0"},
            {"network": "\x1b"},
            {"fallback_accounts": ["\0"]},
            {"\0": 1},
        )
    ]
    # Each with a key of its own: what stands in an object of the order's is kept as JSON, which can hold it.
    for number, fields in enumerate([{"metadata": {"\0": "\0"}}, {"params": {"note": "\0"}}]):
        answered = client.post("/v1/orders", json=ORDER | {"order_id": str(number)} | fields)
        assert answered.status_code in {202, 422}, answered.text
    assert sent == [422] * len(sent)
    url = {"url": "http://127.0.0.1:9/hook"}
    added = [
        client.post("/v1/endpoints", json=fields).status_code
        for fields in (
            url | {"reason": "\0"},
            url | {"headers": {"X-\0": "a"}},
            url | {"headers": {"X-A": "\0"}},
            url | {"accounts": ["\0"]},
            {"url": "http://127.0.0.1:9/\0"},
        )
    ]
    assert added == [422] * len(added)
    replayed = [
        client.post("/v1/replays", json=fields).status_code
        for fields in ({"endpoint": "\0"}, {"endpoint": "a", "event": "\0"}, {"endpoint": "a", "types": ["\0"]})
    ]
    assert replayed == [422] * len(replayed)


def test_a_line_that_no_database_takes_spoils_no_other(client):
    lines = [ORDER | {"order_id": order_id} for order_id in ("line 1", "\0", "line 2")]
    answered = client.post(
        "/v1/orders",
        content="\n".join(json.dumps(one) for one in lines),
        headers={"content-type": "application/x-ndjson"},
    )
    assert [json.loads(line)["status"] for line in answered.text.splitlines()] == [202, 422, 202]


def test_whoever_is_asked_for_together_with_a_bad_one_is_found_all_the_same():
    calls = []

    def double(numbers):
        calls.append(len(numbers))
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]

    async def ask_all():
        gathering = Gathering(StoreThreads(1), double, most=100, most_waiting=100, seconds=60)
        return await asyncio.gather(*(gathering.ask(number) for number in range(64)), return_exceptions=True)

    found = asyncio.run(ask_all())
    assert [type(one) for one in found if not isinstance(one, int)] == [ValueError]
    assert [one for one in found if isinstance(one, int)] == [2 * number for number in range(64) if number != 13]
    assert calls[0] == 64
    assert sum(calls) < 64 * 3  # in halves, not each alone
