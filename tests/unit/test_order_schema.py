"""The JSON Schema of an order takes and refuses what the queue does."""

from __future__ import annotations

from decimal import Decimal

import jsonschema
import pytest

from domain.exact_json import read_json, write_json
from domain.order import Order, OrderError, parse_order
from tests.unit.order_cases import GOOD, order, refusal

FALLBACKS = [
    ["b"],
    [{"account": "b"}, "c"],
    [{"account": "b", "price": "1.5", "currency": "USD", "params": {"user_id": "1"}}],
    [{"account": "b", "price": None, "currency": None, "params": None}],
]


@pytest.mark.parametrize("price", ["0", "0.00", 0, "-1", "1,5", "NaN"])
def test_the_schema_refuses_a_price_that_the_queue_refuses(price):
    schema = Order.model_json_schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | {"price": price, "currency": "EUR"}, schema)


@pytest.mark.parametrize("price", ["10", "10.00", "0.000000001", 10, 0.5])
def test_the_schema_takes_an_exact_price(price):
    jsonschema.validate(GOOD | {"price": price, "currency": "EUR"}, Order.model_json_schema())


@pytest.mark.parametrize("currency", [{}, {"currency": None}])
@pytest.mark.parametrize("price", ["10", 10, Decimal("0.5"), {"__type__": "decimal", "__value__": "1.10"}])
def test_a_price_without_a_currency_is_no_money(price, currency):
    assert refusal(price=price, **currency) == "currency: is required with a price"


@pytest.mark.parametrize("currency", [{}, {"currency": None}])
def test_the_schema_wants_a_currency_with_a_price_as_the_queue_does(currency):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | {"price": "10"} | currency, Order.model_json_schema())
    jsonschema.validate(GOOD | {"price": None} | currency, Order.model_json_schema())
    order(price=None, **currency)


def test_a_currency_without_a_price_is_taken():
    assert order(currency="eur").currency == "EUR"


@pytest.mark.parametrize("field", sorted(set(Order.model_fields) - {"account", "order_id"}))
def test_the_schema_takes_a_null_for_whatever_may_be_left_out_as_the_queue_does(field):
    parse_order(GOOD | {field: None})
    jsonschema.validate(GOOD | {field: None}, Order.model_json_schema())


@pytest.mark.parametrize("field", ["account", "order_id"])
def test_the_schema_and_the_queue_take_no_null_for_what_is_required(field):
    with pytest.raises(OrderError, match=f"{field}: is required"):
        parse_order(GOOD | {field: None})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | {field: None}, Order.model_json_schema())


@pytest.mark.parametrize("listed", FALLBACKS)
def test_the_schema_takes_the_other_accounts_as_the_queue_does(listed):
    parse_order(GOOD | {"fallback_accounts": listed})
    jsonschema.validate(GOOD | {"fallback_accounts": listed}, Order.model_json_schema())


@pytest.mark.parametrize("listed", ["b", [5], [""], [{}], [*"abcdef"], [{"account": "b", "colour": 1}]])
def test_the_schema_refuses_other_accounts_that_the_queue_refuses(listed):
    assert refusal(fallback_accounts=listed)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | {"fallback_accounts": listed}, Order.model_json_schema())


@pytest.mark.parametrize("minutes", ["60", "0.5", 60, 0.5])
def test_the_schema_takes_minutes_as_text_or_number_as_the_queue_does(minutes):
    parse_order(read_json(write_json(GOOD | {"lifetime_minutes": minutes})))
    jsonschema.validate(GOOD | {"lifetime_minutes": minutes}, Order.model_json_schema())
