"""A trace that comes with an order goes out with its events, whether or not anybody records spans here."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tests.contracts.api_cases import ACCOUNTS, Service, order
from tests.contracts.store_cases import events_of, invoice_of, rows
from tests.contracts.webhook_cases import SECRET, answer, post
from workers.intake.desk import Desk, IntakeMessage
from workers.intake.message import Accepted, inspect
from workers.intake.orders import take_orders
from workers.providers.call import Call
from workers.providers.registry import build_providers
from workers.queue import tasks
from workers.store.tables import INVOICE, REJECTED

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT, OTHER = f"00-{TRACE_ID}-00f067aa0ba902b7-01", f"00-{'a' * 32}-{'b' * 16}-00"


@pytest.fixture
def service(database):
    service = Service(database)
    yield service
    service.close()


def told(service, invoice_id):
    """The first event of an invoice, once its provider has made it."""
    service.pend(invoice_id)
    return json.loads(events_of(service.store.database, invoice_id)[0].body)


def message(kwargs, task="invoices.create", **headers):
    """As a producer's Celery sends it."""
    body = json.dumps([[], kwargs, {}]).encode()
    given = {"task": task, "id": "1", **headers}
    judged = inspect(given, {}, body, "application/json", "utf-8", now=datetime.now(UTC))
    assert isinstance(judged, Accepted), judged
    return judged


def test_one_that_came_by_http_is_kept_and_told(service):
    headers = {"traceparent": PARENT, "tracestate": "shop=1"}
    invoice = asyncio.run(service.send(order(), headers=headers)).json()
    assert invoice_of(service.store.database, invoice["id"]).trace == f"{PARENT} shop=1"
    event = told(service, invoice["id"])
    assert (event["traceparent"], event["tracestate"]) == (PARENT, "shop=1")
    assert "traceparent" not in event["data"]


def test_one_that_came_with_many_orders_is_that_of_each(service):
    lines = b"\n".join(json.dumps(order(str(number))).encode() for number in range(3))
    headers = {"traceparent": PARENT, "content-type": "application/x-ndjson"}
    asyncio.run(service.ask("POST", "/v1/orders", content=lines, headers=headers))
    assert [row.trace for row in rows(service.store.database, INVOICE)] == [PARENT] * 3


@pytest.mark.parametrize(
    "headers", [[], [("traceparent", "00-bad")], [("traceparent", PARENT), ("traceparent", OTHER)]]
)
def test_none_and_a_bad_one_and_two_are_no_error_and_told_by_nobody(service, headers):
    answered = asyncio.run(service.ask("POST", "/v1/orders", json=order(), headers=headers))
    assert answered.status_code == 202
    assert "traceparent" not in told(service, answered.json()["id"])


def test_the_same_order_with_another_trace_is_a_repeat_and_keeps_the_first(service):
    for status, parent in ((202, PARENT), (200, OTHER)):
        answered = asyncio.run(service.send(order(), headers={"traceparent": parent}))
        assert answered.status_code == status
    assert invoice_of(service.store.database, answered.json()["id"]).trace == PARENT


def test_one_that_came_by_message_is_kept(service, monkeypatch):
    desk = Desk(service.store, ACCOUNTS, build_providers(Call(service.client())))
    monkeypatch.setattr(tasks, "_desk", lambda: desk)
    traced = message(order("1"), traceparent=PARENT, tracestate="shop=1")
    bare, bad = message(order("2")), message(order("3"), traceparent="00-bad", tracestate="a=1")
    tasks.create([traced, bare, bad])
    kept = {row.order_id: row.trace for row in rows(service.store.database, INVOICE)}
    assert kept == {"1": f"{PARENT} shop=1", "2": None, "3": None}
    assert rows(service.store.database, REJECTED) == []
    assert len(bare.arguments) == len(bad.arguments) == 3  # as workers of the release before read them


def test_one_of_many_orders_by_message_is_that_of_each_also_when_they_are_tried_again_alone(service, monkeypatch):
    desk = Desk(service.store, ACCOUNTS, build_providers(Call(service.client())))
    monkeypatch.setattr(tasks, "_desk", lambda: desk)
    many = message({"orders": [order("1"), order("2")]}, "invoices.create_many", traceparent=PARENT)
    text, key, _, trace = many.arguments
    take_orders(desk, IntakeMessage(many.task, text, key, trace=trace))
    again = message({"orders": [order("3"), order("4")]}, "invoices.create_many", traceparent=PARENT)
    tasks.try_again(again)
    assert [row.trace for row in rows(service.store.database, INVOICE)] == [PARENT] * 4


def test_a_webhook_names_the_trace_in_headers_that_the_signature_leaves_alone():
    _, receiver = post(answer(204, body=b""), outgoing={"trace": f"{PARENT} shop=1"})
    _, headers, body = receiver.requests[0]
    assert (headers["traceparent"], headers["tracestate"]) == (PARENT, "shop=1")
    assert Webhook(SECRET).verify(body, headers) == json.loads(body)


def test_an_endpoints_own_trace_header_stays_its_own():
    _, receiver = post(answer(204, body=b""), outgoing={"trace": f"{PARENT} a=1", "headers": {"Traceparent": OTHER}})
    headers = receiver.requests[0][1]
    assert headers["traceparent"] == OTHER
    assert "tracestate" not in headers


def test_a_webhook_of_an_event_without_one_has_no_such_header():
    _, receiver = post(answer(204, body=b""))
    assert "traceparent" not in receiver.requests[0][1]
