"""Whatever the digits, they come out as they went in; whatever order is good, the public schema says so too."""

from __future__ import annotations

import string
import sys
from decimal import Decimal
from typing import Any

import jsonschema
import simplejson
from hypothesis import example, given
from hypothesis import strategies as st

from domain.exact_json import number, read_json, write_json
from domain.money import MAX_DECIMALS, MAX_INTEGER_DIGITS, AmountError, format_amount, parse_amount, plain_value
from domain.order import Order, OrderError, parse_order
from domain.status import Status

digits = st.text(string.digits, max_size=MAX_DECIMALS)
whole = st.integers(0, 10**MAX_INTEGER_DIGITS - 1).map(str)
texts = st.builds(lambda a, b: f"{a}.{b}" if b else a, whole, digits)


@given(texts)
def test_a_decimals_text_comes_back_digit_for_digit(text):
    amount = parse_amount(text)
    assert format_amount(amount) == text
    assert write_json(number(amount)) == text
    assert format_amount(parse_amount(read_json(f"[{text}]")[0])) == text
    assert write_json(read_json(f"[{text}]")) == f"[{text}]" or Decimal(text) == 0  # 0E-7: JSON's own way to say it


any_text = st.text(st.characters(exclude_categories=[]), max_size=20)  # halves of characters too
leaves = st.one_of(
    st.none(),
    st.booleans(),
    any_text,
    st.sampled_from(Status),
    st.integers(),
    st.floats(),
    st.decimals(),
    texts.map(lambda text: number(Decimal(text))),
)
names = any_text | st.integers() | st.booleans() | st.none()
documents = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner) | st.dictionaries(names, inner)
)


def outcome(write):
    try:
        return write()
    except (TypeError, ValueError) as error:  # such as names that can't be sorted
        return type(error)


@given(documents, st.booleans())
def test_any_document_is_written_with_the_very_bytes_of_the_library(document, sort_keys):
    library = simplejson.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=sort_keys)
    assert outcome(lambda: write_json(document, sort_keys=sort_keys)) == outcome(lambda: library.encode(document))


def test_a_document_of_many_levels_is_written_too():
    document: dict[str, Any] = {}
    for _ in range(sys.getrecursionlimit() // 2 + 50):  # Python's own functions would need two frames for each
        document = {"in": document}
    assert write_json(document).count("{") == sys.getrecursionlimit() // 2 + 51


@given(texts, st.integers(-20, 20))
def test_an_exponent_moves_the_point_and_loses_nothing(text, exponent):
    try:
        amount = parse_amount(f"{text}e{exponent}")
    except AmountError:
        return
    assert amount == Decimal(f"{text}e{exponent}")
    assert "e" not in format_amount(amount).lower()


@given(texts, st.integers(0, 5))
def test_trailing_zeros_do_not_change_a_value(text, zeros):
    longer = text + ("" if "." in text else ".") + "0" * zeros
    if not longer.endswith("."):
        assert plain_value(Decimal(longer)) == plain_value(Decimal(text))


@given(st.text(max_size=40) | st.integers() | st.floats() | st.none() | st.booleans() | st.decimals())
def test_anything_else_is_an_amount_or_an_amount_error(value):
    try:
        amount = parse_amount(value)
    except AmountError:
        return
    assert parse_amount(format_amount(amount)) == amount


# ---------------------------------------------------------------- orders

plain = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1, max_size=16
)
finite = st.decimals(allow_nan=False, allow_infinity=False, places=8)
scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | finite | plain
objects = st.dictionaries(plain, st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)), max_size=4)
prices = texts.filter(lambda text: Decimal(text) > 0)
amounts = prices | prices.map(Decimal) | st.integers(1, 10**9)
currencies = st.sampled_from(["EUR", "usd", "BTC"])
orders = st.fixed_dictionaries(
    {"account": plain, "order_id": plain},
    optional={
        "idempotency_key": plain,
        "price": st.none() | amounts,
        "currency": st.none() | currencies,
        "pay_currency": st.none() | currencies,
        "network": st.none() | plain,
        "lifetime_minutes": st.none() | st.integers(1, 525_600) | st.just(Decimal("0.5")),
        "create_before": st.none() | st.sampled_from(["2026-11-21T20:19:00Z", "2026-11-21T22:19:00.123+02:00"]),
        "params": objects,
        "metadata": objects,
    },
).filter(lambda fields: fields.get("price") is None or fields.get("currency") is not None)
schema = jsonschema.Draft202012Validator(Order.model_json_schema())


@given(orders)
@example({"account": "shop", "order_id": "1", "currency": "EUR", "price": Decimal("9" * 30)})
@example({"account": "shop", "order_id": "1", "currency": "EUR", "price": Decimal("1e-30")})
def test_the_public_schema_accepts_every_good_order(fields):
    parse_order(fields)
    schema.validate(as_seen_by_a_validator(fields))


@given(orders)
def test_a_good_order_is_the_same_through_its_json(fields):
    order = parse_order(fields)
    again = parse_order(read_json(write_json(fields)))
    assert again == order
    assert again.digest() == order.digest()
    if order.price is not None:
        assert order.price == Decimal(str(fields["price"]))


@given(
    st.dictionaries(st.sampled_from(sorted(Order.model_fields)) | plain, scalars | objects | st.floats(), max_size=6)
)
def test_a_bad_order_is_refused_by_an_order_error_and_nothing_else(fields):
    try:
        parse_order({"account": "shop", "order_id": "o"} | fields).digest()
    except OrderError as error:
        said = str(error)
    else:
        said = "price: fine"
    assert "\n" not in said
    assert ":" in said


def as_seen_by_a_validator(value: Any) -> Any:
    """jsonschema takes a Decimal for no number: what it would see in the JSON is a float."""
    if isinstance(value, dict):
        return {key: as_seen_by_a_validator(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_seen_by_a_validator(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value
