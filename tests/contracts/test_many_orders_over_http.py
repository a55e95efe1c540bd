"""Many orders in one request over HTTP: an answer for each, in their order."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from domain.exact_json import read_json
from domain.permissions import Scope
from tests.contracts.api_cases import order
from tests.contracts.store_cases import rows
from workers.store.tables import INVOICE
from workers.web.api import bulk


def send_many(service, body, **how):
    headers = {"content-type": "application/x-ndjson", **how.pop("headers", {})}
    return asyncio.run(service.send(body, headers=headers, **how))


def lines_of(answered):
    assert answered.headers["content-type"].startswith("application/x-ndjson")
    return [read_json(line) for line in answered.content.splitlines()]


def test_many_orders_have_an_answer_each(service, send):
    send(order("before"))
    bodies = [
        json.dumps(order("a")),
        "{",
        json.dumps(order("before")),
        json.dumps(order("before", price="1")),
        json.dumps(order("b", price=None)),
        json.dumps(order("a")),
        json.dumps(order("long", metadata={"x": "y" * 70_000})),
        "",
        json.dumps(order("c")),
    ]
    answered = send_many(service, "\r\n".join(bodies).encode())

    lines = lines_of(answered)
    assert answered.status_code == 200
    assert [(line["index"], line["status"]) for line in lines] == [
        (0, 202),
        (1, 400),
        (2, 200),
        (3, 422),
        (4, 422),
        (5, 200),
        (6, 413),
        (7, 202),
    ]
    assert all(set(line) == {"index", "status", "invoice" if line["status"] < 300 else "problem"} for line in lines)
    assert lines[0]["invoice"]["id"] == lines[5]["invoice"]["id"]
    assert lines[3]["problem"]["type"] == "urn:invoices:problem:idempotency-key-reused"
    assert lines[4]["problem"]["errors"][0]["pointer"] == "#/price"
    assert {row.order_id for row in rows(service.store.database, INVOICE)} == {"before", "a", "c"}


def test_a_list_sent_again_is_all_200(service):
    body = b"\n".join(json.dumps(order(str(number))).encode() for number in range(500))

    assert {line["status"] for line in lines_of(send_many(service, body))} == {202}
    assert {line["status"] for line in lines_of(send_many(service, body))} == {200}
    assert len(rows(service.store.database, INVOICE)) == 500


def test_lists_are_bounded(service, monkeypatch):
    many = b"\n".join(b"{}" for _ in range(501))
    assert send_many(service, many).status_code == 413
    assert send_many(service, b"\n\n").status_code == 400
    assert send_many(service, b"{}", headers={"idempotency-key": "x"}).status_code == 400
    monkeypatch.setattr(bulk, "MANY_BYTES", 1000)
    assert send_many(service, b" " * 1001).status_code == 413


def test_a_list_is_charged_by_its_orders(service):
    token = service.add_token(Scope.ORDERS, per_second=Decimal(1))
    body = b"\n".join(json.dumps(order(str(number))).encode() for number in range(50))

    assert send_many(service, body, token=token).status_code == 200
    assert send_many(service, body, token=token).status_code == 429


def test_an_account_that_is_not_the_token_s_is_refused_alone(service):
    token = service.add_token(Scope.ORDERS, accounts=["nebulox"])
    body = json.dumps(order("a")) + "\n" + json.dumps(order("b", account="zeroxhost"))

    assert [line["status"] for line in lines_of(send_many(service, body.encode(), token=token))] == [202, 403]
