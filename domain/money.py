"""Exact amounts: a Decimal all the way from the wire's text to the row and back, never a binary float."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, InvalidOperation

#: Room enough: ETH has 18 decimals, the most of any coin that the providers name.
MAX_DECIMALS = 30
MAX_INTEGER_DIGITS = 30
#: The ``maximum`` of an amount in JSON Schemas: the double that thirty nines are to a validator that reads numbers as
#: doubles. It is a little above 10**30, and nothing is taken in between: the schema forbids less than ``parse_amount``.
SCHEMA_MAXIMUM = int(float(10**MAX_INTEGER_DIGITS))
#: Python's own context would round to 28 digits: a sum of amounts has up to sixty, and more for each factor of ten.
EXACT = Context(prec=200)


class AmountError(ValueError):
    """The value is no usable amount; the message says why."""


def parse_amount(value: object) -> Decimal:
    """Turn a text, an int or a Decimal into a Decimal that keeps every digit, trailing zeros included.

    Raises AmountError for floats, booleans, NaN, infinities, and more digits than any amount of money has.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise AmountError("must be a decimal as a string or a JSON number")
    try:
        amount = value if isinstance(value, Decimal) else Decimal(_bounded_text(value))
    except InvalidOperation:
        raise AmountError("is not a decimal number") from None
    if not amount.is_finite():
        raise AmountError("must be a finite number")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > MAX_DECIMALS or amount.adjusted() >= MAX_INTEGER_DIGITS:
        raise AmountError(f"has more than {MAX_INTEGER_DIGITS} integer digits or {MAX_DECIMALS} decimals")
    return amount if exponent <= 0 else Decimal(format_amount(amount))


def _bounded_text(value: str | int) -> str:
    if isinstance(value, int):
        if abs(value) >= 10**MAX_INTEGER_DIGITS:
            raise AmountError(f"has more than {MAX_INTEGER_DIGITS} integer digits")
        return str(value)
    text = value.strip()
    if not text.isascii() or "_" in text:
        raise AmountError("is not a decimal number")
    if len(text) > MAX_INTEGER_DIGITS + MAX_DECIMALS + 10:
        raise AmountError(f"is longer than {MAX_INTEGER_DIGITS} integer digits and {MAX_DECIMALS} decimals")
    return text


def format_amount(amount: Decimal) -> str:
    """Every digit, never in exponent form: ``Decimal("3.58E-2")`` becomes ``"0.0358"``."""
    return format(amount, "f")


def plain_value(amount: Decimal) -> str:
    """The value without trailing zeros, for comparing (``Decimal.normalize`` would round to 28 digits)."""
    text = format_amount(amount)
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals_of(amount: Decimal) -> int:
    """How many decimals the value has: 2 for 19.990."""
    return len(plain_value(amount).partition(".")[2])


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """Their sum with every digit; None counts as nothing."""
    found = Decimal(0)
    for one in amounts:
        if one is not None:
            found = EXACT.add(found, one)
    return found


def less(amount: Decimal, other: Decimal) -> Decimal:
    """The difference with every digit."""
    return EXACT.subtract(amount, other)


def negated(amount: Decimal) -> Decimal:
    """The same on the other side of zero, with every digit."""
    return amount.copy_negate() if amount else amount
