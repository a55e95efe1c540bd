"""A search for what a lost create made: what proves that it is there, what that it is not, and what proves nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from domain.evidence import CredentialsRefused, Found, NotFound, RateLimited, SearchFailed
from domain.exact_json import read_json
from tests.contracts.provider_cases import CASES, NOW, Recorded
from tests.contracts.searchable_shop import SearchableShop
from tests.over_httpx import OverHttpx
from workers.http.client import LeanClient
from workers.providers.call import Call
from workers.providers.zeroxhost.adapter import ZeroxHost
from workers.providers.zeroxhost.look_up import MAX_PAGES, PER_PAGE

CASE = CASES["zeroxhost"]
PARAMS = {"user_id": "u-1", "currency": "EUR", "pay_currency": "BTC", "network": "Bitcoin"}
SINCE = datetime(2025, 11, 25, 19, 45, tzinfo=UTC)
BEGAN = int(SINCE.timestamp())


def row(**fields: Any) -> dict[str, Any]:
    """A row of 0xhost's list as its later documents show it: amounts are texts, the currency is in lower case."""
    usual = {
        "id": 1,
        "track_id": "110816020",
        "status": "Paying",
        "type": "invoice",
        "amount": "100.00",
        "currency": "eur",
        "pay_amount": "0.00115764",
        "pay_currency": "BTC",
        "order_id": "o-1",
        "date": BEGAN + 5,
        "tx_hash": None,
        "network": "Bitcoin Network",
        "address": "bc1qxy2kgdygjrsqtzq2n0yrf2493p83kkfjhx0wlh",
        "created_at": "2025-06-12 22:42:09",
        "expired_at": BEGAN + 3605,
        "qr_code": "URL",
    }
    return {name: value for name, value in (usual | fields).items() if value is not ...}


def others(count: int, start: int = 0, **fields: Any) -> list[dict[str, Any]]:
    return [row(track_id=f"x-{number}", order_id=f"x-{number}", **fields) for number in range(start, start + count)]


def page(*rows: Any) -> tuple[int, str]:
    return 200, json.dumps({"success": True, "data": list(rows)})


def search(*answers: Any, end: bool = True, profile: str = "order", **order: Any) -> tuple[Any, Recorded, list[int]]:
    """(what it brings, the requests, after how many of them one more was asked for). After the last answer the list
    is at its ``end``, or the last answer comes again."""
    recorded, asked = Recorded(*answers, *([page()] if end else [])), list[int]()

    async def next_call() -> None:
        asked.append(len(recorded.requests))

    async def story() -> Any:
        async with LeanClient(OverHttpx(httpx.MockTransport(recorded))) as client:
            adapter = ZeroxHost(Call(client, clock=lambda: NOW))
            request = CASE.request(**({"params": PARAMS} | order))
            return await adapter.find(request, CASE.account(profile=profile), SINCE, next_call)

    return asyncio.run(story()), recorded, asked


def test_a_row_that_echoes_our_order_id_is_the_invoice_with_all_it_has():
    found, recorded, _ = search(page(*others(2), row()))
    assert isinstance(found, Found)
    assert (found.provider_ref, found.address) == ("110816020", "bc1qxy2kgdygjrsqtzq2n0yrf2493p83kkfjhx0wlh")
    assert (str(found.pay_amount), found.pay_currency) == ("0.00115764", "BTC")
    assert (found.price, found.currency) == (Decimal("100.00"), "EUR")
    assert found.expires_at == SINCE + timedelta(seconds=3605)
    assert found.twins is None
    assert found.raw is not None
    assert "x-1" not in found.raw
    assert {request.url.path for request in recorded.requests} == {"/API/list_transactions"}


def test_profile_server_is_never_searched():
    """Its rows carry nothing of ours: what is bound by anything else may be somebody else's."""
    assert not ZeroxHost.can_search(CASE.account())
    assert not ZeroxHost.can_search(CASE.account(profile="server"))
    assert ZeroxHost.can_search(CASE.account(profile="order"))
    answer, recorded, _ = search(page(row()), profile="server", params=CASE.order["params"], end=False)
    assert isinstance(answer, SearchFailed)
    assert recorded.requests == []


@pytest.mark.parametrize("answer", [page(), page(*others(3)), page(row(order_id=None), row(order_id="o-10"))])
def test_a_list_that_ends_without_it_says_that_it_is_not_there(answer):
    assert isinstance(search(answer)[0], NotFound)


def test_pages_are_read_until_one_is_older_than_the_order_and_each_further_one_is_asked_for():
    full, last = others(PER_PAGE), others(PER_PAGE - 1, PER_PAGE)
    found, recorded, asked = search(page(*full), page(*last, row(date=BEGAN - 3600, track_id="old", order_id="old")))
    assert isinstance(found, NotFound)
    assert [request.url.params["page"] for request in recorded.requests] == ["1", "2"]
    assert asked == [1]


def test_rows_that_move_to_the_next_page_meanwhile_are_read_once():
    full = others(PER_PAGE)
    found, _, _ = search(page(*full), page(full[-1], row(), row()))
    assert isinstance(found, Found)
    assert found.twins is None


def test_an_invoice_of_an_earlier_order_with_the_same_id_is_not_this_order_s():
    found, _, _ = search(page(row(), row(track_id="old", date=BEGAN - 600, pay_currency="ETH")))
    assert isinstance(found, Found)
    assert found.twins is None
    assert isinstance(search(page(row(date=BEGAN - 600)))[0], NotFound)


def test_of_several_the_newest_is_bound_and_the_others_are_named():
    rows = [row(track_id="3", date=BEGAN + 3), row(track_id="5"), row(track_id="4", date=BEGAN + 4)]
    found, _, _ = search(page(*rows))
    assert (found.provider_ref, read_json(found.twins)) == ("5", ["3", "4"])


def test_of_several_the_one_that_is_paid_is_bound():
    rows = [row(track_id="5"), row(track_id="3", date=BEGAN + 3, status="Paid", tx_hash="a" * 64)]
    found, _, _ = search(page(*rows))
    assert (found.provider_ref, read_json(found.twins)) == ("3", ["5"])


def test_what_has_lapsed_can_not_be_paid_by_anybody_and_is_only_named():
    lapsed = row(track_id="3", date=BEGAN + 3, status="Expired")
    gone = search(page(lapsed))[0]
    assert isinstance(gone, NotFound)
    assert gone.lapsed == '["3"]'
    found, _, _ = search(page(row(track_id="5"), lapsed))
    assert (found.provider_ref, read_json(found.twins)) == ("5", ["3"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "{}"), "HTTP 500"),
        ((404, "<html><title>Not Found</title></html>"), "a web page"),
        ((200, "<html><title>Maintenance</title></html>"), "Maintenance"),
        ((200, '{"success": false, "message": "no list today"}'), "no list today"),
        ((200, '{"error": "Forbidden", "data": []}'), "Forbidden"),
        ((200, '{"success": true, "data": {"rows": []}}'), "it holds no rows"),
        ((200, '{"success": true}'), "it holds no rows"),
        ((200, '{"success": true, "data": [1]}'), "it holds no rows"),
        ((200, '{"success": true, "data": ['), "it can't be read"),
        (page(row(pay_currency="LTC")), "pay_currency"),
        (page(row(currency="usd")), "currency"),
        (page(row(address=...)), "can't be read"),
        (page(row(track_id=...)), "no usable track_id"),
    ],
)
def test_what_can_not_be_read_or_is_perhaps_ours_proves_nothing(answer, words):
    found = search(answer)[0]
    assert isinstance(found, SearchFailed)
    assert words in found.reason


def test_an_id_that_is_the_same_number_only_proves_nothing():
    """Both may be orders of ours."""
    answer = search(page(row(order_id="12")), order_id="0012")[0]
    assert isinstance(answer, SearchFailed)
    assert search(page(row(order_id=12)), order_id="12")[0].provider_ref == "110816020"


@pytest.mark.parametrize("second", [(502, "bad gateway"), (429, "{}")])
def test_a_page_that_fails_hides_what_is_not_found_and_not_what_is(second):
    assert not isinstance(search(page(*others(PER_PAGE)), second)[0], NotFound)
    assert search(page(*others(PER_PAGE - 1), row()), second)[0].provider_ref == "110816020"


def test_a_list_without_an_end_is_given_up_and_one_that_does_not_turn_its_pages_too():
    pages = [page(*others(PER_PAGE, number * PER_PAGE)) for number in range(MAX_PAGES + 1)]
    found, recorded, asked = search(*pages, end=False)
    assert isinstance(found, SearchFailed)
    assert (len(recorded.requests), len(asked)) == (MAX_PAGES, MAX_PAGES - 1)
    found, recorded, _ = search(page(*others(PER_PAGE)), end=False)
    assert (type(found), len(recorded.requests)) == (SearchFailed, 2)


def test_a_refused_key_and_a_wish_for_patience_are_told_as_what_they_are():
    assert isinstance(search((401, '{"message": "Invalid API key"}'))[0], CredentialsRefused)
    assert isinstance(search((429, "{}"))[0], RateLimited)


# ---------------------------------------------------------------- a provider that filters by order id


def search_shop(*answers: Any) -> Any:
    recorded = Recorded(*answers)

    async def next_call() -> None:
        raise AssertionError("one call is all it takes")

    async def story() -> Any:
        async with LeanClient(OverHttpx(httpx.MockTransport(recorded))) as client:
            request = CASES["nebulox"].request(order_id="o-1", price="10.50")
            account = CASES["nebulox"].account()
            return await SearchableShop(Call(client)).find(request, account, SINCE, next_call)

    return asyncio.run(story())


def invoice(**fields: Any) -> dict[str, Any]:
    usual = {"id": "a", "orderId": "o-1", "price": "10.5", "status": "New", "createdTime": BEGAN + 1, "address": "bc1q"}
    return usual | fields


def test_a_provider_that_filters_by_order_id_is_searched_by_the_same_rules():
    assert search_shop((200, json.dumps([invoice()]))).provider_ref == "a"
    assert isinstance(search_shop((200, "[]")), NotFound)
    assert isinstance(search_shop((200, json.dumps([invoice(orderId="o-2")]))), NotFound)
    assert isinstance(search_shop((200, json.dumps([invoice(price="10.51")]))), SearchFailed)
    assert isinstance(search_shop((503, "")), SearchFailed)
    found = search_shop((200, json.dumps([invoice(), invoice(id="b", createdTime=BEGAN + 9)])))
    assert (found.provider_ref, read_json(found.twins)) == ("b", ["a"])
