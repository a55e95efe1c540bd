"""Amounts keep every digit, and what is no amount is turned away with a reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.money import AmountError, format_amount, parse_amount, plain_value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("0.0358619204", "0.0358619204"),
        ("89.970", "89.970"),  # a trailing zero is a digit
        (Decimal("3.58E-2"), "0.0358"),
        ("1e3", "1000"),
        ("1E-18", "0.000000000000000001"),
        (Decimal("1.20E+3"), "1200"),
        (100, "100"),
        (" 5 ", "5"),
        ("+5", "5"),
        ("0", "0"),
        ("-1.50", "-1.50"),  # whether it must be positive is for the field to say
        ("9" * 30 + "." + "9" * 30, "9" * 30 + "." + "9" * 30),
    ],
)
def test_every_digit_is_kept_and_no_exponent_is_written(given, kept):
    assert format_amount(parse_amount(given)) == kept


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (1.5, "must be a decimal as a string"),
        (True, "must be a decimal as a string"),
        (None, "must be a decimal as a string"),
        ([], "must be a decimal as a string"),
        (b"1", "must be a decimal as a string"),
        ("", "is not a decimal number"),
        ("ten", "is not a decimal number"),
        ("1,5", "is not a decimal number"),
        ("1_000", "is not a decimal number"),
        ("٣", "is not a decimal number"),  # Decimal() would take it
        ("0x10", "is not a decimal number"),
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("-Infinity", "finite"),
        (Decimal("Infinity"), "finite"),
        ("1e30", "30 integer digits"),
        ("1e999999", "30 integer digits"),
        (10**30, "30 integer digits"),
        (10**4000, "30 integer digits"),
        ("1e-31", "30 decimals"),
        (Decimal("0E-31"), "30 decimals"),
        ("1" * 100, "30 integer digits"),
    ],
)
def test_what_is_no_amount_is_turned_away_with_the_reason(given, says):
    with pytest.raises(AmountError, match=says):
        parse_amount(given)


@pytest.mark.parametrize(
    ("amount", "plain"), [("1.10", "1.1"), ("1.00", "1"), ("100", "100"), ("0.000", "0"), ("1E+2", "100")]
)
def test_values_are_compared_without_trailing_zeros(amount, plain):
    assert plain_value(Decimal(amount)) == plain
