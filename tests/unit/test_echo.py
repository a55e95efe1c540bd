"""An answer to our own request names the order's id in many spellings."""

from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.echo import echoes, ids_meant_by, names, numbers_made_of
from domain.exact_json import read_json

LONG = "ORDER-2026-11-29-0000000000000000000000000000000000000000000000000017"


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        ("0012", "12"),
        ("12", "12"),
        ("12", "12.0"),
        ("12", '"0012"'),
        ("+12", "12"),
        ("0012", '"0012"'),
        ("12.50", "12.5"),
        ("0", "0"),
        ("9007199254740993", "9007199254740992"),  # beyond 2^53
        ("9007199254740993", "9007199254740993"),
        ("12345678901234567890", "12345678901234567000"),
        ("12345678901234567890", '"1.2345678901234567e+19"'),
        ("1000000000000000000000", "1e+21"),
        ("00000000000000000000000000000000000017", "17"),
        (" 17 ", "17"),
    ],
)
def test_an_id_of_digits_may_come_back_as_a_number(sent, echo):
    assert echoes(sent, read_json(echo))


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        ("DGK-324324", "DGK-324324"),
        (" DGK ", "DGK"),
        ("DGK", "\u00a0DGK\n"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("a&b", "a&amp;b"),
        ("a&amp;b", "a&amp;b"),
        ("<7>", "&lt;7&gt;"),
        ('O\'Brien "7"', "O&#039;Brien &quot;7&quot;"),
        (LONG, LONG[:64]),
        (LONG, LONG[:32]),
        ("\u00e9" * 50, unicodedata.normalize("NFD", "\u00e9" * 40)),
        ("\u20ac" * 50, "\u20ac" * 40 + "\ufffd"),
    ],
)
def test_an_id_may_come_back_composed_escaped_or_cut(sent, echo):
    assert echoes(sent, echo)


@pytest.mark.parametrize(
    ("sent", "echo"),
    [
        ("12", 13),
        ("0012", 120),
        ("12", -12),
        ("12", Decimal("12.5")),
        ("12", True),
        ("1", True),
        ("DGK-324324", 324324),
        ("DGK-324324", "dgk-324324"),
        ("DGK-324324", "DGK-324"),  # cut shorter than any column is wide
        (LONG, LONG[:31]),
        (LONG[:40], LONG),
        ("order", "another"),
        ("12", ""),
        ("12", []),
        ("12", {}),
        ("12", None),
        ("9007199254740993", 9007199254740999),
        ("1_2", 12),
        ("\u0661\u0662", 12),  # digits of another script
        ("1e999", Decimal("1e998")),
        ("inf", "Infinity"),
        ("nan", "NaN"),
        ("x" * 40, "x" * 20 + "y" * 20),
        ("a", "a" + "\u0301\u0316" * 100_000),  # to be composed in the square of its length
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_another_orders_id_is_no_echo(sent, echo):
    assert not echoes(sent, echo)


@pytest.mark.parametrize("echo", ["110816020", 110816020, Decimal("110816020.0"), " 110816020 "])
def test_an_answer_names_a_reference_as_text_or_number(echo):
    assert names("110816020", echo)


@pytest.mark.parametrize(
    ("ref", "echo"),
    [(LONG, LONG[:40]), ("a&b", "a&amp;b"), ("Caf\u00e9", "Cafe\u0301"), ("1", True), ("1", None), ("", "1")],
)
def test_what_binds_a_payment_is_not_read_loosely(ref, echo):
    assert not names(ref, echo)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("0012", "12"),
        ("12", "12.0"),
        ("0", "0"),
        ("20261129123456789", "20261129123456788"),
        ("000000000000000012", "12"),
    ],
)
def test_a_number_is_looked_for_as_every_id_that_it_may_stand_for(ours, theirs):
    assert ours in ids_meant_by(theirs)
    assert len(ids_meant_by(theirs)) <= 300


@pytest.mark.parametrize("theirs", ["A-12", "-12", "12.5", "", "1e18", "1" * 19, "1e999", "0x12", "١٢"])
def test_what_is_no_whole_number_of_a_bounded_length_is_looked_for_as_itself_only(theirs):
    assert ids_meant_by(theirs) == []


@given(st.integers(0, 10**18 - 65), st.integers(0, 4))
def test_whatever_a_system_makes_of_an_id_means_that_id(number, zeros):
    ours = ("0" * zeros + str(number))[-18:]
    for theirs in numbers_made_of(ours):
        assert ours in ids_meant_by(theirs)
