"""Orders over HTTP that can't be used: what is said of them, and that nothing is stored."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.contracts.api_cases import Service, errors_of, order
from tests.contracts.store_cases import rows
from workers.store.database import Database
from workers.store.tables import INVOICE

INVALID = "urn:invoices:problem:invalid-order"


@pytest.fixture(scope="module")
def turn_away(sqlite_template, tmp_path_factory):
    """Sends what is to be refused, for a reason that no database has a part in."""
    path = tmp_path_factory.mktemp("api") / "invoices.db"
    shutil.copyfile(sqlite_template, path)
    database = Database(f"sqlite:///{path}")
    service = Service(database)
    yield lambda fields, **how: asyncio.run(service.send(fields, **how))
    service.close()
    assert rows(database, INVOICE) == []
    database.close()


def test_two_keys_that_differ_are_422(turn_away):
    answered = turn_away(order(idempotency_key="a"), headers={"idempotency-key": "b"})

    assert (answered.status_code, list(errors_of(answered))) == (422, ["#/idempotency_key"])


@pytest.mark.parametrize("header", ['"', '""', '"a', "", "\xff"])
def test_a_header_that_is_no_key_is_400(turn_away, header):
    assert turn_away(order(), headers={"idempotency-key": header.encode("latin-1")}).status_code == 400


@pytest.mark.parametrize("price", ["9" * 5000, '"' + "9" * 5000 + '"', "9" * 5000 + ".5"])
def test_a_price_of_thousands_of_digits_is_422(turn_away, price):
    body = b'{"account": "nebulox", "order_id": "1", "currency": "EUR", "price": %s}' % price.encode()
    answered = turn_away(body)

    assert (answered.status_code, list(errors_of(answered))) == (422, ["#/price"])
    assert "sys." not in answered.text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"null", "order: must be an object, not null"),
        (b"7", "order: must be an object, not a number"),
        (b'{"account": "\\ud800", "order_id": "1"}', "account: must be text of whole Unicode characters"),
        (b"\xff", "the body is not JSON: it is not UTF-8"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(turn_away, body, says):
    assert turn_away(body).json()["detail"] == says


def test_what_is_told_of_the_whole_is_told_with_the_fields(turn_away):
    answered = turn_away({"account": "nobody", "order_id": 7, "price": "1"})
    assert set(errors_of(answered)) == {"#/account", "#/order_id", "#/currency"}
    answered = turn_away({"account": "nobody", "order_id": "7", "price": "1"})
    assert set(errors_of(answered)) == {"#/account", "#/currency"}


def test_what_can_not_be_used_is_422_with_a_pointer_for_each_field(turn_away):
    answered = turn_away({"account": "nebulox", "price": -1, "currency": 7, "colour": "red", "metadata": []})

    problem = answered.json()
    assert (answered.status_code, problem["type"]) == (422, INVALID)
    assert errors_of(answered) == {
        "#/order_id": "is required",
        "#/price": "must be greater than 0",
        "#/currency": "must be a string",
        "#/metadata": "must be an object",
        "#/colour": "unknown field",
    }


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"account": "nobody"}, "#/account"),
        ({"currency": None}, "#/currency"),
        ({"price": "0.001"}, "#/price"),
        ({"price": None, "currency": None}, "#/price"),
        ({"params": {"a/b~c": 1}}, "#/params/a~1b~0c"),
        ({"fallback_accounts": ["nobody"]}, "#/fallback_accounts/0"),
        ({"fallback_accounts": [{"account": "zeroxhost", "price": "x"}]}, "#/fallback_accounts/0/price"),
        ({"create_before": "1764105348"}, "#/create_before"),
        ({"price": float("1e300")}, "#/price"),
    ],
)
def test_each_finding_has_the_field_s_pointer(turn_away, fields, pointer):
    answered = turn_away(order(**fields))

    assert (answered.status_code, list(errors_of(answered))) == (422, [pointer])


@pytest.mark.parametrize("fields", [[], "text", 7, None])
def test_what_is_json_and_no_object_is_422_about_the_whole(turn_away, fields):
    answered = turn_away(fields)

    assert (answered.status_code, list(errors_of(answered))) == (422, ["#"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"price": NaN}',
        b'{"account":"a","account":"b"}',
        b'\xef\xbb\xbf{"account":"nebulox"}',
        b'{"order_id":"\xff"}',
        b"[" * 20_000,
        b'{"a":[' + b"1," * 11_000 + b"1]}",
    ],
)
def test_what_is_no_json_is_400(turn_away, body):
    answered = turn_away(body)

    assert (answered.status_code, answered.headers["content-type"]) == (400, "application/problem+json")
