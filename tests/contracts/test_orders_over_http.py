"""``POST /v1/orders``: every answer of the contract, and that what was answered 202 is there."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from domain.evidence import CancelRequested
from domain.permissions import Scope
from tests.contracts.api_cases import ADMIN, errors_of, order
from tests.contracts.store_cases import agenda_of, events_of, invoice_of, judge, rows
from workers.store.operate.tokens import revoke
from workers.store.tables import EVENT, INVOICE, REJECTED


def test_an_order_is_202_with_its_place_and_is_queued(service, send):
    answered = send(order(metadata={"cart": 7}, price="10.500"))

    invoice = answered.json()
    assert answered.status_code == 202
    assert answered.headers["location"] == f"/v1/invoices/{invoice['id']}"
    assert answered.headers["etag"] == '"0"'
    assert (invoice["status"], invoice["price"], invoice["metadata"]) == ("queued", "10.500", {"cart": 7})
    assert invoice_of(service.store.database, invoice["id"]).order_id == "1001"
    assert set(agenda_of(service.store.database, invoice["id"])) == {"create"}


def test_the_invoice_of_the_answer_is_the_one_that_is_stored(service, send):
    fields = {"price": "1e2", "pay_currency": "BTC", "network": "Bitcoin", "lifetime_minutes": 0.50}
    answered = send(order(metadata={"n": "ü", "l": [1.10, None]}, **fields))

    invoice_id = answered.json()["id"]
    assert asyncio.run(service.ask("GET", f"/v1/invoices/{invoice_id}")).content == answered.content


@pytest.mark.parametrize(("fields", "status"), [({}, 202), ({"price": "-1"}, 422), ({"account": "other"}, 422)])
def test_a_token_that_was_right_a_moment_ago_is_401_once_it_is_revoked(service, send, fields, status):
    token = service.add_token(Scope.ORDERS)
    before, after = order("before"), order("after") | fields

    assert send(before, token=token).status_code == 202
    assert send(order("between") | fields, token=token).status_code == status
    revoke(service.store, ADMIN, token.partition(".")[0])
    assert send(after, token=token).status_code == 401
    assert send(b"no json", token=token).status_code == 401
    assert "after" not in {row.order_id for row in rows(service.store.database, INVOICE)}


def test_orders_of_other_tokens_that_come_with_a_revoked_one_s_are_taken(service):
    revoked, right = service.add_token(Scope.ORDERS), service.add_token(Scope.ORDERS)

    async def send_all(name):
        orders = ((token, order(f"{name}-{place}")) for place, token in enumerate((revoked, right, revoked, right)))
        return await asyncio.gather(*(service.send(fields, token=token) for token, fields in orders))

    assert {one.status_code for one in asyncio.run(send_all("first"))} == {202}
    revoke(service.store, ADMIN, revoked.partition(".")[0])
    assert [one.status_code for one in asyncio.run(send_all("then"))] == [401, 202, 401, 202]
    stored = {row.order_id for row in rows(service.store.database, INVOICE)}
    assert {one for one in stored if one.startswith("then")} == {"then-1", "then-3"}


def test_the_fields_are_those_of_an_event(service, send):
    invoice_id = send(order()).json()["id"]
    service.pend(invoice_id)

    (event,) = events_of(service.store.database, invoice_id)
    data = json.loads(event.body)["data"]
    del data["previous_status"]
    assert asyncio.run(service.ask("GET", f"/v1/invoices/{invoice_id}")).json() == data


@pytest.mark.parametrize("digits", ["0.10", "1234567890123456.12", "1e1", "100.10"])
def test_the_price_is_read_from_the_bytes(send, digits):
    body = json.dumps(order()).replace('"10.50"', digits).encode()
    answered = send(body)

    assert answered.status_code == 202
    assert answered.json()["price"] == {"1e1": "10"}.get(digits, digits)


def test_the_same_order_again_is_200_and_says_so(service, send):
    first, again = send(order()), send(order(price="10.5"))

    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["id"] == first.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert len(rows(service.store.database, INVOICE)) == 1


def test_the_same_key_with_other_content_is_422_of_its_own_type(send):
    first, other = send(order()), send(order(price="11"))

    problem = other.json()
    assert other.status_code == 422
    assert other.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:invoices:problem:idempotency-key-reused"
    assert problem["existing_invoice"] == first.json()["id"]
    assert list(errors_of(other)) == ["#/idempotency_key"]


def test_another_open_invoice_of_the_order_is_409_until_it_has_ended(service, send):
    first, second = send(order()), send(order(idempotency_key="second"))

    assert (second.status_code, second.json()["existing_invoice"]) == (409, first.json()["id"])
    judge(service.store, first.json()["id"], CancelRequested(reason="given up"))
    assert send(order(idempotency_key="second")).status_code == 202


@pytest.mark.parametrize("header", ["key-1", '"key-1"', ' "key-1" '])
def test_the_header_stands_for_the_key_with_or_without_quotes(service, send, header):
    answered = send(order(), headers={"idempotency-key": header})

    assert answered.json()["idempotency_key"] == "key-1"
    assert send(order(idempotency_key="key-1"), headers={"idempotency-key": "key-1"}).status_code == 200


def test_quotes_within_the_key_are_escaped(send):
    answered = send(order(), headers={"idempotency-key": r'"a\"b\\c"'})

    assert answered.json()["idempotency_key"] == 'a"b\\c'


def test_a_refused_one_is_only_answered(service, send):
    send(order())
    assert [send(order(price="x")).status_code, send(order(price="11")).status_code] == [422, 422]

    assert rows(service.store.database, REJECTED) == []
    assert rows(service.store.database, EVENT) == []


def test_bodies_are_bounded_and_of_one_type(send):
    assert send(b'"' + b"x" * (64 * 1024) + b'"').status_code == 413
    assert send(order(), headers={"content-type": "text/plain"}).status_code == 415
    assert send(order(), headers={"content-type": ""}).status_code == 415
    assert send(order(), headers={"content-encoding": "gzip"}).status_code == 415
    assert send(order(), headers={"content-type": "application/json; charset=utf-8"}).status_code == 202


def test_who_may_not_is_403_and_nothing_is_stored(service, send):
    reader = service.add_token(Scope.READ)
    other = service.add_token(Scope.ORDERS, accounts=["zeroxhost"])

    assert [send(order(), token=one).status_code for one in (reader, other)] == [403, 403]
    fallback = order(account="zeroxhost", fallback_accounts=["nebulox"], params={"user_id": "1", "server_id": "2"})
    assert send(fallback, token=other).status_code in {403, 422}
    assert send(order(), token="tok_" + "0" * 32 + "." + "x" * 43).status_code == 401
    assert rows(service.store.database, INVOICE) == []


def test_while_the_database_is_away_it_is_503_and_nothing_is_lost_by_coming_again(service, send, monkeypatch):
    def away(_):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("away"))

    with monkeypatch.context() as patch:
        patch.setattr(service.store._arrivals, "take_in", away)
        answered = send(order())
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
    assert send(order()).status_code == 202


def test_a_bug_that_one_order_meets_is_500_and_the_others_are_taken(service, monkeypatch):
    take_in = service.store._arrivals.take_in

    def trip(items):
        if any(one[0].order_id == "bad" for one in items):
            raise RuntimeError("a bug")
        return take_in(items)

    monkeypatch.setattr(service.store._arrivals, "take_in", trip)

    async def send_all():
        return await asyncio.gather(*(service.send(order(name)) for name in ("a", "bad", "b", "c")))

    assert [one.status_code for one in asyncio.run(send_all())] == [202, 500, 202, 202]


def test_orders_that_come_at_once_share_a_transaction(service, monkeypatch):
    calls = []
    add_orders = service.store.add_orders

    def count(orders):
        calls.append(len(orders))
        return add_orders(orders)

    monkeypatch.setattr(service.store, "add_orders", count)

    async def send_all():
        return await asyncio.gather(*(service.send(order(str(name))) for name in range(60)))

    assert {one.status_code for one in asyncio.run(send_all())} == {202}
    assert sum(calls) == 60
    assert len(calls) < 30


def test_one_order_sent_fifty_times_at_once_is_one_invoice(service):
    async def send_all():
        return await asyncio.gather(*(service.send(order()) for _ in range(50)))

    answered = asyncio.run(send_all())
    assert sorted(one.status_code for one in answered) == [200] * 49 + [202]
    assert len({one.json()["id"] for one in answered}) == 1


# --- waiting ----------------------------------------------------------------------------------------------------------


def wait_for(service, wait, do, **fields):
    """Send an order that waits; ``do`` is called with the invoice's id once somebody waits for it."""

    async def act():
        sending = asyncio.create_task(service.send(order(**fields), headers={"prefer": f"wait={wait}"}))
        while not rows(service.store.database, INVOICE):  # noqa: ASYNC110 - another thread writes it
            await asyncio.sleep(0.01)
        await asyncio.to_thread(do, rows(service.store.database, INVOICE)[0].id)
        return await sending

    return asyncio.run(act())


def test_with_a_wait_it_is_201_as_soon_as_it_can_be_paid(service):
    answered = wait_for(service, 30, service.pend)

    assert answered.status_code == 201
    assert answered.headers["preference-applied"] == "wait=30"
    assert (answered.json()["status"], answered.json()["pay_amount"]) == ("pending", "0.0358619204")
    assert answered.headers["etag"] == '"1"'


def test_closed_while_it_waited_is_200(service):
    answered = wait_for(service, 30, lambda one: judge(service.store, one, CancelRequested(reason="given up")))

    assert (answered.status_code, answered.json()["status"]) == (200, "cancelled")
    assert "idempotency-replayed" not in answered.headers


@pytest.mark.parametrize(("asked", "applied"), [("wait=0", "wait=0"), ('respond-async, wait="0"', "wait=0")])
def test_when_the_time_is_up_it_is_202(send, asked, applied):
    answered = send(order(), headers={"prefer": asked})

    assert (answered.status_code, answered.headers["preference-applied"]) == (202, applied)


def test_a_wish_that_is_no_number_is_none(send):
    answered = send(order(), headers={"prefer": "wait=long"})

    assert (answered.status_code, "preference-applied" in answered.headers) == (202, False)


def test_a_repeat_may_wait_too(service, send):
    invoice_id = send(order()).json()["id"]
    service.pend(invoice_id)

    answered = send(order(), headers={"prefer": "wait=90"})
    assert (answered.status_code, answered.json()["status"]) == (200, "pending")
    assert answered.headers["preference-applied"] == "wait=30"
