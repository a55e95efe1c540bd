"""What a producer may send. Every refusal is one line that names the field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.exact_json import read_json, write_json
from domain.order import MAX_NESTING, OrderError, parse_cancellation, parse_order, parse_orders
from tests.unit.order_cases import GOOD, order, refusal

PRICED = {"price": "100", "currency": "EUR"}


def nested(levels):
    """An object with objects in it, ``levels`` in all."""
    value: dict = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


# ---------------------------------------------------------------- taken


def test_an_order_needs_an_account_and_an_order_id_and_its_key_is_the_order_id():
    taken = order()
    assert (taken.account, taken.order_id, taken.idempotency_key) == ("shop", "order-1", "order-1")
    assert taken.price is None
    assert taken.params == taken.metadata == {}


def test_a_price_keeps_its_digits_whether_text_or_number():
    def kept(**fields):
        return str(order(currency="EUR", **fields).price)

    assert kept(price="0.0358619204") == "0.0358619204"
    assert kept(**read_json('{"price": 89.970}')) == "89.970"
    assert kept(price=100) == "100"
    assert kept(price="1e3") == "1000"


def test_a_python_producers_decimal_and_time_are_understood_as_kombu_writes_them():
    tagged = order(
        price={"__type__": "decimal", "__value__": "1.10"},
        currency="EUR",
        create_before={"__type__": "datetime", "__value__": "2026-11-21T20:19:00+00:00"},
    )
    assert str(tagged.price) == "1.10"
    assert tagged.create_before == datetime(2026, 11, 21, 20, 19, tzinfo=UTC)


def test_currencies_are_kept_upper_case():
    taken = order(currency=" usd ", pay_currency="btc")
    assert (taken.currency, taken.pay_currency) == ("USD", "BTC")


def test_a_time_of_any_zone_is_kept_in_utc():
    assert order(create_before="2026-11-21T22:19:00.5+02:00").create_before == datetime(
        2026, 11, 21, 20, 19, 0, 500_000, tzinfo=UTC
    )


def test_metadata_of_exactly_4_kib_is_taken():
    assert order(metadata={"a": "x" * (4096 - len('{"a":""}'))}).metadata


def test_metadata_may_be_nested_as_deep_as_json_readers_go():
    assert order(metadata=nested(MAX_NESTING)).digest()


OPTIONAL = ["idempotency_key", "price", "currency", "pay_currency", "network", "lifetime_minutes"]
OPTIONAL += ["fallback_accounts", "create_before", "params", "metadata"]


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_means_not_given(field):
    assert order(**{field: None}) == order()
    assert order(**{field: None}).digest() == order().digest()


# ---------------------------------------------------------------- refused

LONG_NAME = "x" * 300
BAD: list[tuple[str, list[Any]]] = [
    ("account", [None, "", 5, "x" * 65, "a\nb", ["shop"]]),
    ("order_id", [None, "", 5, "x" * 129, "a\0b", "a\x7fb", "\ud800", {}]),
    ("idempotency_key", ["", 5, "x" * 256, "\r"]),
    ("price", ["", "ten", "0", "-1", 0, -5, 1.5, True, [], {}, "NaN", "1e31", "1e-31", "1_0", "9" * 80]),
    ("currency", ["", "  ", 5, "x" * 17, "E\tR"]),
    ("pay_currency", ["", 5, "x" * 17]),
    ("network", ["", 5, "x" * 65, "a\nb"]),
    ("lifetime_minutes", [0, -1, "ten", True, 1.5, 525_601, "525600.000001"]),
    ("fallback_accounts", ["other", 5, {}, [5], [""], [None], [{}], [{"account": "other", "colour": 1}]]),
    ("fallback_accounts", [["shop"], ["a", "a"], [*"abcdef"], [{"account": "a", "price": "1"}], [["a"]]]),
    ("fallback_accounts", [[{"account": "a", "params": []}], [{"account": "a", "price": "0", "currency": "EUR"}]]),
    (
        "create_before",
        [
            5,
            "",
            "soon",
            "1764105348",  # pydantic would take epoch seconds
            "2026-11-21",
            "2026-11-21T20:19:00",  # no zone
            "2026-02-30T00:00:00Z",
            "9999-12-31T23:59:59-12:00",  # year 10000 in UTC
            "0001-01-01T00:00:00+12:00",
            True,
        ],
    ),
    ("params", ["", [], 5, {"a": "x" * 4096}, nested(MAX_NESTING + 1)]),
    (
        "metadata",
        ["", [], 5, {"a": "x" * 4096}, {"a": "é" * 2045}, {"a": "\ud800"}, {"a": {1}}, {1: "a"}],
    ),
]


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in BAD for value in values], ids=repr)
def test_a_bad_value_is_one_line_that_names_its_field_alone(field, value):
    said = refusal(**{field: value})
    assert said.startswith(field)
    assert "\n" not in said
    assert "; " not in said
    assert len(said) <= 500
    said.encode()


@pytest.mark.parametrize("name", ["colour", "Price", "a\nb", "\u202e", LONG_NAME], ids=repr)
def test_an_unknown_field_is_named_on_one_line(name):
    said = refusal(**{name: 1})
    assert said.endswith(": unknown field")
    assert said.isprintable()
    assert len(said) < 200


def test_metadata_nested_beyond_any_stack_is_refused():
    assert "deeper than 100 levels" in refusal(metadata=nested(3000))


def test_a_field_whose_name_is_no_text_is_refused():
    assert refusal(**{"\ud800": 1}).startswith("order: ")


def test_several_mistakes_are_told_at_once_and_no_value_is_repeated():
    said = refusal(price="s3cret", currency=5, colour=1)
    assert [part.split(":")[0] for part in said.split("; ")] == ["price", "currency", "colour"]
    assert "s3cret" not in said


@pytest.mark.parametrize("fields", [None, [], "order", 5])
def test_an_order_is_an_object(fields):
    with pytest.raises(OrderError, match="order: must be an object"):
        parse_order(fields)


# ---------------------------------------------------------------- identity

SAME = [
    (PRICED, PRICED | {"price": "100.00"}),
    (PRICED, PRICED | {"price": 100}),
    (PRICED | {"price": "1e2"}, PRICED | {"price": Decimal("100.0")}),
    ({"lifetime_minutes": 60}, {"lifetime_minutes": Decimal("60.0")}),
    ({"currency": "eur"}, {"currency": "EUR"}),
    ({"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}),
    ({}, {"create_before": "2026-11-21T20:19:00Z"}),
    ({"create_before": "2026-11-21T20:19:00Z"}, {"create_before": "2027-11-21T20:19:00Z"}),
    ({}, {"metadata": {}}),
    ({"fallback_accounts": ["b"]}, {"fallback_accounts": [{"account": "b", "params": None}]}),
    (
        {"fallback_accounts": [{"account": "b", "price": "1.50", "currency": "eur"}]},
        {"fallback_accounts": [{"account": "b", "price": Decimal("1.5"), "currency": "EUR"}]},
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_content_has_the_same_digest(one, other):
    assert order(**one).digest() == order(**other).digest()


@pytest.mark.parametrize(
    "fields",
    [
        {"account": "other"},
        {"order_id": "order-2"},
        {"price": "99", "currency": "EUR"},
        {"currency": "EUR"},
        {"pay_currency": "BTC"},
        {"network": "Bitcoin"},
        {"lifetime_minutes": 5},
        {"params": {"user_id": "1"}},
        {"metadata": {"a": 1}},
        {"fallback_accounts": ["b"]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_other_content_has_another_digest(fields):
    assert order(**fields).digest() != order().digest()


def test_orders_that_name_no_other_account_have_the_digest_they_always_had():
    """A repeat that comes after an upgrade is still one."""
    assert order().digest() == "f55cf8c8f9638c558e24ec0692779126fab6e4b697d5306715e30d8549c10585"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["b", "c"], ["c", "b"]),
        (["b"], ["c"]),
        (["b"], [{"account": "b", "price": "1", "currency": "EUR"}]),
        (["b"], [{"account": "b", "params": {}}]),
    ],
)
def test_other_accounts_and_their_order_and_what_they_are_asked_for_are_content(one, other):
    assert order(fallback_accounts=one).digest() != order(fallback_accounts=other).digest()


def test_prices_that_differ_beyond_28_digits_differ():
    assert order(price="1." + "0" * 29 + "1", currency="EUR").digest() != order(price="1", currency="EUR").digest()


# ---------------------------------------------------------------- many, and giving up


@pytest.mark.parametrize(
    "fields",
    [None, {}, [], {"orders": None}, {"orders": {}}, {"orders": []}, {"orders": [GOOD] * 501}, {"orders": [], "x": 1}],
    ids=lambda fields: str(fields)[:20],
)
def test_a_batch_is_a_list_of_1_to_500(fields):
    with pytest.raises(OrderError, match=r"^orders: "):
        parse_orders(fields)


def test_the_orders_of_a_batch_are_judged_one_by_one():
    assert parse_orders({"orders": [GOOD, None, 5]}) == [GOOD, None, 5]


@pytest.mark.parametrize(
    "named", [{"order_id": "o"}, {"idempotency_key": "k"}, {"order_id": "o", "reason": "sold out"}]
)
def test_a_cancellation_names_the_order_or_its_key(named):
    assert parse_cancellation({"account": "shop", **named}).reason in {"sold out", "cancelled by the shop"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"account": "shop"}, "order_id"),
        ({"order_id": "o"}, "account"),
        ({"account": "shop", "order_id": ""}, "order_id"),
        ({"account": "shop", "order_id": "o", "reason": ""}, "reason"),
        ({"account": "shop", "order_id": "o", "reason": "x" * 501}, "reason"),
        ({"account": "shop", "order_id": "o", "price": "1"}, "price"),
        ([], "cancellation"),
    ],
)
def test_a_bad_cancellation_names_its_field(fields, field):
    with pytest.raises(OrderError, match=rf"^{field}: "):
        parse_cancellation(fields)


def test_metadata_is_stored_as_it_was_sent_number_by_number():
    text = '{"a":1.10,"b":1E-7,"c":12345678901234567890,"d":"é","e":null}'
    assert write_json(order(metadata=read_json(text)).metadata) == text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"price": "0"}, "price: must be greater than 0"),
        ({"order_id": 5}, "order_id: must be a string"),
        ({"currency": ""}, "currency: must not be empty"),
        ({"params": []}, "params: must be an object"),
        ({"lifetime_minutes": 525_601}, "lifetime_minutes: must be at most 525600"),
    ],
    ids=["price", "order_id", "currency", "params", "lifetime"],
)
def test_a_mistake_is_told_in_our_words_not_in_the_librarys(fields, said):
    with pytest.raises(OrderError, match=f"^{said}$"):
        parse_order({"account": "shop", "order_id": "o-1", **fields})
