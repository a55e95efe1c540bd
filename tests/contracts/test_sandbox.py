"""The shipped sandbox's providers, as a real process on loopback: their documented answers to the letter."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.contracts.sandbox_client import (
    CREATE_PATHS,
    NEBULOX_KEY,
    ZEROXHOST_KEY,
    ask,
    control,
    create_nebulox,
    create_zeroxhost,
    find,
    look_up,
    look_up_when,
    made_for,
    new_id,
    send,
    wait_until,
)


def test_nebulox_create_answers_as_documented(sandbox):
    order = new_id()
    status, answer = create_nebulox(sandbox, order, baseCurrency="usd", coinSymbol="BTC", networkName="Bitcoin")
    assert status == 201
    assert list(answer) == ["message", "result", "meta"]
    assert answer["message"] == "Operation was successful."
    assert answer["meta"] == {}
    result = answer["result"]
    names = "price orderId status gatewayId userId addressId amount coinId networkId info id created_at updated_at url"
    assert " ".join(result) == names
    assert (result["orderId"], result["status"], result["price"]) == (order, "PENDING", 100)
    assert [result[name] for name in ("addressId", "amount", "coinId", "networkId", "info")] == [None] * 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", result["created_at"])
    assert result["url"].endswith(f"/invoice/{result['id']}")
    status, page, _ = send(result["url"])
    assert status == 200
    assert f"{order}: PENDING" in page


@pytest.mark.parametrize(
    "price", ["10", "12.50", "0.1000", "100.00", "12345678901234567890.12", "1e2", '"100"', '"7.10"']
)
def test_nebulox_echoes_the_price_as_a_number_digit_for_digit(sandbox, price):
    body = f'{{"apiKey":"{NEBULOX_KEY}","price":{price},"orderId":"{new_id()}"}}'.encode()
    status, text, _ = send(sandbox.nebulox_url + "/api/invoice/create", body)
    assert status == 201
    written = price.strip('"')
    assert f'"price": {written},' in text


@pytest.mark.parametrize("key", ["wrong", None, 5])
def test_nebulox_refuses_a_wrong_key_as_documented(sandbox, key):
    status, answer = create_nebulox(sandbox, new_id(), apiKey=key)
    assert (status, answer) == (406, {"message": "This gateway is not active", "result": [], "meta": {}})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"price": None}, "price: is required"),
        ({"price": "ten"}, "price: must be a number"),
        ({"price": True}, "price: must be a number"),
        ({"price": 0}, "price: must be greater than 0"),
        ({"price": "-1"}, "price: must be greater than 0"),
        ({"orderId": None}, "orderId: is required"),
        ({"orderId": 7}, "orderId: must be a text"),
        ({"orderId": "x" * 300}, "orderId: must have at most 255"),
        ({"orderId": "a~nonsense:1~"}, "~nonsense:…~: unknown marker"),
        ({"orderId": "a~fault:nonsense~"}, "fault: 'nonsense' is unknown"),
        ({"orderId": "a~pay:soon~"}, "~pay:…~: must be a number of seconds"),
        ({"baseCurrency": "EUR"}, "baseCurrency: must be one of eur, usd"),
        ({"coinSymbol": "XMR"}, "coinSymbol: must be one of"),
        ({"coinSymbol": ["BTC"]}, "coinSymbol: must be one of"),
        ({"networkName": "Ethereum"}, "networkName: must be one of"),
        ({"amount": "0.1", "coinSymbol": "BTC"}, "amount: send price or amount"),
        ({"amount": "0.1", "price": None}, "coinSymbol: is required with amount"),
    ],
)
def test_nebulox_says_what_is_wrong_with_a_request(sandbox, fields, message):
    status, answer = create_nebulox(sandbox, **{"order_id": new_id(), **fields})
    assert status == 400
    assert answer["message"].startswith(message)
    assert (answer["result"], answer["meta"]) == ([], {})


def test_nebulox_takes_a_crypto_amount_instead_of_a_price(sandbox):
    status, answer = create_nebulox(sandbox, new_id(), price=None, amount="0.5", coinSymbol="LTC")
    assert (status, answer["result"]["price"]) == (201, None)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b"[" * 60_000, b"\xff\xfe", b'{"price": NaN}', b'"x"'])
@pytest.mark.parametrize("provider", CREATE_PATHS)
def test_a_body_that_is_no_object_is_refused_and_harms_nothing(sandbox, provider, body):
    status, answer = ask(sandbox.url + CREATE_PATHS[provider], body)
    assert status == 400
    assert answer["message"].startswith("body: is not")


@pytest.mark.parametrize("provider", CREATE_PATHS)
def test_a_body_of_more_than_64_kib_is_refused(sandbox, provider):
    status, answer = ask(sandbox.url + CREATE_PATHS[provider], {"orderId": "x" * 70_000})
    assert status == 413
    assert answer["message"] == "body: is larger than 65536 bytes"


def test_nebulox_verify_follows_the_invoice(sandbox):
    order = new_id()
    made = create_nebulox(sandbox, order, baseCurrency="eur", price="12.50")[1]["result"]
    code = control(sandbox, f"invoices?order_id={order}")[1]["invoices"][0]["number"]

    def verify(tracking_code=code, key=NEBULOX_KEY):
        url = sandbox.nebulox_url + "/api/invoice/verify"
        return ask(url, {"apiKey": key, "trackingCode": tracking_code})

    status, answer = verify()
    result = answer["result"]
    assert status == 200
    assert (result["id"], result["trackingCode"], result["orderId"]) == (made["id"], code, order)
    assert (result["status"], result["paidAmount"], result["price"]) == ("PENDING", "0.00000000", 12.5)
    control(sandbox, "underpay", {"provider": "nebulox", "order_id": order, "paid_amount": "0.00010000"})
    assert (verify()[1]["result"]["status"], verify()[1]["result"]["paidAmount"]) == ("PARTIAL", "0.00010000")
    control(sandbox, "pay", {"provider": "nebulox", "ref": made["id"]})
    paid = verify(str(code))[1]["result"]
    assert (paid["status"], paid["paidAmount"]) == ("COMPLETED", paid["amount"])
    assert verify(99)[0] == 404
    assert verify(key="wrong")[0] == 406
    assert verify(made["id"])[0] == 404
    assert verify(None)[0] == 400


def test_zeroxhost_create_answers_as_documented(sandbox):
    before = int(time.time())
    status, answer = create_zeroxhost(sandbox, new_id())
    assert status == 200
    assert list(answer) == ["success", "transaction", "message", "data"]
    assert (answer["success"], answer["transaction"]["success"]) == (True, True)
    assert answer["message"] == "Operation completed successfully!"
    data = answer["data"]
    names = "track_id amount currency pay_amount pay_currency network address qr_code lifetime expired_at order_id date"
    assert " ".join(data) == names
    assert re.fullmatch(r"\d{9}", data["track_id"])
    assert data["currency"] == "EUR"
    assert before <= data["date"] <= time.time()
    assert (data["lifetime"], data["expired_at"] - data["date"]) == (15, 900)


def test_zeroxhost_writes_amounts_as_numbers_with_every_decimal(sandbox):
    addresses, pay_amounts = set(), []
    for _ in range(12):
        body = {"user_id": new_id(), "server_id": "s"}
        headers = {"x-api-key": ZEROXHOST_KEY}
        _, text, _ = send(sandbox.zeroxhost_url + "/API/invoice", body, headers=headers)
        assert re.search(r'"amount": \d+\.\d\d,', text)
        pay_amounts.append(find(r'"pay_amount": (\d+\.\d{10}),', text))
        data = json.loads(text)["data"]
        addresses.add(data["address"])
        row = look_up(sandbox, data["track_id"])[1]["data"]
        assert (row["pay_amount"], row["amount"]) == (pay_amounts[-1], find(r'"amount": ([\d.]+)', text))
    assert len(addresses) == 12
    assert any(amount.endswith("0") for amount in pay_amounts)


def test_zeroxhost_takes_the_sister_sites_body(sandbox):
    order = new_id()
    fields = {"order_id": order, "currency": "USD", "pay_currency": "LTC", "network": "Litecoin"}
    _, answer = create_zeroxhost(sandbox, "user", **fields)
    data = answer["data"]
    assert (data["currency"], data["pay_currency"], data["network"]) == ("USD", "LTC", "Litecoin")
    assert data["order_id"] == order
    assert look_up(sandbox, data["track_id"])[1]["data"]["order_id"] == order
    assert made_for(sandbox, order, "zeroxhost") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"user_id": "refuse-me", "server_id": "s"},
        {"user_id": "", "server_id": "s"},
        {"user_id": 5, "server_id": "s"},
        {"user_id": "u", "other": "s"},
        {"user_id": "u", "order_id": "o", "currency": "GBP", "pay_currency": "BTC"},
        {"user_id": "u", "order_id": "o", "currency": "EUR", "pay_currency": "XMR"},
        {"user_id": "u", "order_id": "o", "currency": "EUR", "pay_currency": "BTC", "network": 5},
    ],
)
def test_zeroxhost_refuses_an_order_with_status_200(sandbox, fields):
    status, answer = create_zeroxhost(sandbox, **fields)
    assert (status, answer["success"], answer["data"]) == (200, False, [])
    assert answer["message"]


def test_zeroxhost_refuses_a_wrong_key(sandbox):
    refusal = (401, {"success": False, "message": "Invalid API key", "data": []})
    assert create_zeroxhost(sandbox, new_id(), key="wrong") == refusal
    assert ask(sandbox.zeroxhost_url + "/API/list_transactions") == refusal
    assert ask(sandbox.zeroxhost_url + "/API/get_transation_by_track_id?track_id=1") == refusal


def test_zeroxhost_knows_no_such_transaction(sandbox):
    assert look_up(sandbox, "1") == (404, {"error": "Transaction not found", "data": {}})


def test_a_fresh_row_says_paying_without_a_transaction_and_is_no_proof(sandbox):
    made = create_zeroxhost(sandbox, new_id())[1]["data"]
    status, answer = look_up(sandbox, made["track_id"])
    row = answer["data"]
    assert (status, answer["success"]) == (200, True)
    assert (row["status"], row["tx_hash"], row["currency"]) == ("Paying", None, "eur")
    assert (row["expired_at"], row["date"]) == (made["expired_at"], made["date"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["created_at"])


def test_zeroxhost_lists_newest_first_in_pages(sandbox):
    made = [create_zeroxhost(sandbox, new_id())[1]["data"]["track_id"] for _ in range(5)]

    def page(number):
        url = f"{sandbox.zeroxhost_url}/API/list_transactions?per_page=2&page={number}"
        return [row["track_id"] for row in ask(url, headers={"x-api-key": ZEROXHOST_KEY})[1]["data"]]

    assert page(1) + page(2) + page(3)[:1] == made[::-1]
    assert page(10**6) == []
    url = sandbox.zeroxhost_url + "/API/list_transactions?per_page=0"
    assert ask(url, headers={"x-api-key": ZEROXHOST_KEY})[0] == 400


def test_an_unpaid_row_expires_when_its_time_has_come(sandbox):
    made = create_zeroxhost(sandbox, new_id("~lifetime:1~"))[1]["data"]
    assert made["expired_at"] - made["date"] == 1
    assert made["lifetime"] == 0.0167
    row = wait_until(lambda: look_up_when(sandbox, made["track_id"], "expired"))
    assert row["expired_at"] == made["expired_at"] <= time.time()
