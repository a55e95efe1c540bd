"""JSON whose numbers keep their digits."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.exact_json import JsonError, number, raw, read_json, read_strict_json, write_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.0358619204", Decimal("0.0358619204")),
        ("89.970", Decimal("89.970")),
        ("1764105348", 1764105348),
        ("1E2", Decimal("1E+2")),
        ("123456789012345678901234567890.123456789", Decimal("123456789012345678901234567890.123456789")),
    ],
)
def test_a_number_is_read_from_its_text(text, value):
    read = read_json(f'{{"amount":{text}}}')["amount"]
    assert (str(read), type(read)) == (str(value), type(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{'a': 1}",
        "NaN",
        "[Infinity]",
        "[-Infinity]",
        '"\x01"',
        b"\xff\xfe",
        "<html>",
        "1" * 5000,
        "1e99999999999999999999",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_json_is_one_error_on_one_line(text):
    with pytest.raises(JsonError) as caught:
        read_json(text)
    assert "\n" not in str(caught.value)


def test_an_error_does_not_repeat_the_text_which_may_hold_a_secret():
    with pytest.raises(JsonError) as caught:
        read_json('{"apiKey": "s3cret" "price": 1}')
    assert "s3cret" not in str(caught.value)


def test_decimals_are_written_as_they_were_and_never_as_floats():
    assert write_json({"b": Decimal("89.970"), "a": [Decimal("0.0358619204")]}) == '{"b":89.970,"a":[0.0358619204]}'


def test_keys_can_be_sorted_to_compare_by():
    assert write_json({"b": 1, "a": {"d": 1, "c": 2}}, sort_keys=True) == '{"a":{"c":2,"d":1},"b":1}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_not_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": value})


def test_a_number_never_has_an_exponent():
    assert write_json({"price": number(Decimal("1E-10"))}) == '{"price":0.0000000001}'
    assert write_json({"price": number(Decimal("1.0E+3"))}) == '{"price":1000}'


def test_raw_text_is_embedded_as_it_stands():
    assert write_json({"metadata": raw('{"a": 1.0}')}) == '{"metadata":{"a": 1.0}}'


@pytest.mark.parametrize("digits", [1001, 5000, 60_000])
def test_a_whole_number_that_decides_about_money_may_have_any_number_of_digits(digits):
    assert str(read_strict_json(b"-" + b"9" * digits)) == "-" + "9" * digits


def test_elsewhere_one_of_too_many_digits_is_refused_in_plain_words():
    with pytest.raises(JsonError, match=r"^is not JSON: a number has too many digits$"):
        read_json("9" * 5000)


@pytest.mark.parametrize("read", [read_json, read_strict_json])
@pytest.mark.parametrize(
    ("text", "says"),
    [(b"\xff", "is not JSON: it is not UTF-8"), (b"1e" + b"9" * 30, "is not JSON: a number has too large an exponent")],
)
def test_what_can_not_be_read_is_told_in_plain_words(read, text, says):
    with pytest.raises(JsonError) as raised:
        read(text)
    assert str(raised.value) == says
