"""Nebulox to the letter of its documents."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from domain.evidence import Created, InDoubt, Unreadable
from domain.order import OrderError, parse_order
from domain.status import Status
from tests.contracts.provider_cases import CASES, PLAIN_KEY, create_recorded, edited, look_up_recorded
from workers.providers.nebulox.adapter import Nebulox
from workers.providers.nebulox.callbacks import read_callback

CASE = CASES["nebulox"]


def sent(**order):
    _, requests = create_recorded(CASE, (201, CASE.made), **order)
    return requests[0]


def check(account=None, **order):
    Nebulox.check_order(parse_order({"account": "main", "order_id": "o", **order}), account or CASE.account())


def test_the_request_is_the_documented_one():
    request = sent(pay_currency="btc", network="bitcoin", price="100")
    assert (request.method, str(request.url)) == ("POST", "https://provider.test/api/invoice/create")
    assert json.loads(request.content) == {
        "apiKey": PLAIN_KEY,
        "price": 100,
        "orderId": "DGK-324324",
        "baseCurrency": "usd",
        "coinSymbol": "BTC",
        "networkName": "Bitcoin",
    }


def test_what_the_order_does_not_say_is_not_sent():
    assert set(json.loads(sent().content)) == {"apiKey", "price", "orderId", "baseCurrency"}


@pytest.mark.parametrize(
    ("price", "digits"),
    [
        ("100", b"100"),
        ("89.97", b"89.97"),
        ("89.970", b"89.970"),
        ("0.0358619204", b"0.0358619204"),
        ("0.0358619200", b"0.0358619200"),
        ("1E-7", b"0.0000001"),
        ("1E+3", b"1000"),
        ("0.1234567890123456789012345678", b"0.1234567890123456789012345678"),
        ("123456789012345678901234567890.000000000000000000000000000001", None),
    ],
)
def test_the_price_is_a_json_number_with_the_orders_digits(price, digits):
    assert b'"price":' + (digits or price.encode()) + b"," in sent(price=price).content


def test_the_answer_gives_the_page_to_pay_on_and_no_expiry():
    evidence, _ = create_recorded(CASE, (201, CASE.made))
    assert evidence == Created(
        asked_at=evidence.asked_at,
        raw=CASE.made,
        provider_ref="5c5a7933-51ad-4542-b0b6-9157552e8230",
        payment_url="https://nebulox.io/invoice/5c5a7933-51ad-4542-b0b6-9157552e8230",
    )


def test_the_answers_echo_of_the_price_does_not_replace_what_the_shop_ordered():
    body = CASE.made.replace('"price": 10,', '"price": 0.0358619200,')
    evidence, _ = create_recorded(CASE, (201, body))
    assert evidence.price is None


@pytest.mark.parametrize("echo", ["another", 7, True, {}, "dgk-324324"])
def test_an_answer_about_another_order_is_in_doubt(echo):
    evidence, _ = create_recorded(CASE, (201, edited(CASE.made, "result", orderId=echo)))
    assert isinstance(evidence, InDoubt)
    assert evidence.reason == "HTTP 201: the answer is about another order"


@pytest.mark.parametrize(
    ("order_id", "echo"),
    [("324324", 324324), ("0012", 12), ("ö\xa0x", "ö\xa0x"), (" a ", "a"), ("a&b", "a&amp;b"), ("é", "e\u0301")],
)
def test_an_order_id_that_comes_back_a_little_different_is_still_ours(order_id, echo):
    evidence, _ = create_recorded(CASE, (201, edited(CASE.made, "result", orderId=echo)), order_id=order_id)
    assert isinstance(evidence, Created)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ...},
        {"id": None},
        {"id": ""},
        {"id": "x" * 256},
        {"id": "a\x00b"},
        {"id": "a\ud800"},
        {"id": True},
        {"url": ...},
        {"url": "javascript:alert(1)"},
        {"url": "/invoice/1"},
        {"url": "https://x.test/" + "x" * 2048},
        {"url": "https://x.test/\n"},
        {"url": "https://[broken/"},
    ],
    ids=str,
)
def test_an_invoice_nobody_could_use_is_in_doubt(changes):
    evidence, _ = create_recorded(CASE, (201, edited(CASE.made, "result", **changes)))
    assert isinstance(evidence, InDoubt)


@pytest.mark.parametrize("price", ["x", -1, 0, None, [], 1e300, True])
def test_an_odd_price_in_the_answer_loses_no_invoice(price):
    evidence, _ = create_recorded(CASE, (201, edited(CASE.made, "result", price=price)))
    assert isinstance(evidence, Created)
    assert evidence.price is None


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "price"),
        ({"price": "1", "currency": "GBP"}, "currency"),
        ({"price": "1", "currency": "EUR", "pay_currency": "XMR"}, "pay_currency"),
        ({"price": "1", "currency": "EUR", "network": "Ethereum"}, "network"),
        ({"price": "1", "currency": "EUR", "params": {"user_id": "u"}}, "params.user_id"),
    ],
)
def test_what_the_documents_dont_allow_is_refused_by_name(order, field):
    with pytest.raises(OrderError, match=rf"^{field}: "):
        check(**order)


def test_an_account_may_name_its_own_lists():
    account = CASE.account(currencies=["GBP"], pay_currencies=["XMR"], networks=["Monero"])
    check(account, price="1", currency="gbp", pay_currency="xmr", network="MONERO")
    with pytest.raises(OrderError, match=r"^currency: must be one of GBP$"):
        check(account, price="1", currency="EUR")
    _, requests = create_recorded(CASE, (201, CASE.made), account=account, currency="gbp", network="MONERO")
    assert json.loads(requests[0].content)["baseCurrency"] == "gbp"
    assert json.loads(requests[0].content)["networkName"] == "Monero"


# --- the look-up by what a callback brought -------------------------------------------------------------------------

VERIFIED = """{"message": "Operation was successful.", "result": {"amount": "10.47657961", "paidAmount": "0.00000000",
"baseCurrency": "eur", "id": "5c5a7933", "trackingCode": 100061, "orderId": "o-1", "price": 10.50, "description": null,
"status": "EXPIRED", "expirationDate": "2023-12-23T11:01:40.993Z"}, "meta": {}}"""


def test_the_documented_answer_says_what_invoice_it_is_about_and_what_was_paid():
    answers, requests = look_up_recorded(CASE, ["100061"], (200, VERIFIED))
    said = answers["100061"]

    assert json.loads(requests[0].content) == {"apiKey": PLAIN_KEY, "trackingCode": 100061}
    assert (said.status, said.word, said.provider_ref, said.order_id) == (Status.EXPIRED, "EXPIRED", "5c5a7933", "o-1")
    assert (str(said.price), said.currency, str(said.pay_amount)) == ("10.50", "EUR", "10.47657961")
    assert said.paid_amount is None
    assert PLAIN_KEY not in said.raw


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, '{"message": "Not found", "result": [], "meta": {}}'),
        (406, '{"message": "This gateway is not active", "result": [], "meta": {}}'),
        (401, "{}"),
        (200, "<html>"),
        (200, "{}"),
        (200, '{"result": {"state": "COMPLETED", "id": "5c5a7933"}}'),
        (200, '{"result": {"status": "COMPLETED"}}'),
        (200, '{"result": {"status": true, "id": "5c5a7933"}}'),
    ],
)
def test_whatever_else_it_answers_is_no_answer_and_says_nothing_of_the_account(status, body):
    answers, _ = look_up_recorded(CASE, ["1"], (status, body))

    assert type(answers["1"]) is Unreadable


def test_an_account_may_name_its_path_and_fields():
    account = CASE.account(verify={"path": "/v2/check", "api_key": "key", "tracking_code": "code"})
    _, requests = look_up_recorded(CASE, ["A-7"], (200, VERIFIED), account=account)

    assert requests[0].url.path == "/v2/check"
    assert json.loads(requests[0].content) == {"key": PLAIN_KEY, "code": "A-7"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *[('"6.9"', "6.9"), ("6.90", "6.90"), ("1e-8", "0.00000001"), ('" 6.9 "', "6.9")],
        *[(written, "0") for written in ('"0"', "-5", '"-0.1"', "1e400", '"1e400"', '"NaN"', '"-Infinity"')],
        *[(written, "0") for written in ("true", "false", "[]", '["6.9"]', "{}", f"6.{'9' * 40}")],
        *[(written, None) for written in ("null", '""', '"much"', '"6,9"')],
    ],
)
def test_an_amount_that_no_payment_has_speaks_against_the_payment(written, read):
    said = read_callback(f'{{"orderId":"A","status":"COMPLETED","amount":{written}}}'.encode())

    assert said is not None
    assert said.paid_amount == (None if read is None else Decimal(read))

    verified = f'{{"result": {{"id": "A", "status": "COMPLETED", "paidAmount": {written}}}}}'
    answers, _ = look_up_recorded(CASE, ["1"], (200, verified))

    assert answers["1"].paid_amount == said.paid_amount
