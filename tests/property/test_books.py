"""Lines of the books in every format, whatever shops, payers and providers have written into them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from datetime import UTC
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.beancount import account_of, commodity_of, quoted, transaction
from domain.books import COLUMNS, Totals
from domain.instants import read_zone
from domain.money import total
from domain.sheets import FORMULA
from tests.books.lines import lines, texts
from workers.cli.report.writing import CSV, JSON_LINES, write_rows

BERLIN = read_zone("Europe/Berlin")
KEYS = ["cart", "k", "k 2"]
#: Beancount's own, of its lexer and its parser's options.
ACCOUNT_PART = re.compile(r"[A-Z][A-Za-z0-9-]*", re.ASCII)
COMMODITY = re.compile(r"[A-Z][A-Z0-9'._-]{0,22}[A-Z0-9]", re.ASCII)
NUMERIC = {"line", "payment", "amount", "assumed_amount", "price", "fee", "net"}


def written(found, chosen):
    out = io.StringIO(newline="")
    columns = (*COLUMNS, *(f"metadata.{key}" for key in KEYS))
    assert write_rows(out.write, chosen, columns, (line.values(BERLIN, KEYS) for line in found)) == len(found)
    return out.getvalue()


@given(st.lists(lines(), max_size=5))
def test_csv_is_read_back_as_as_many_rows_and_holds_no_formula(found):
    text = written(found, CSV)
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(found)
    for row, line in zip(rows, found, strict=True):
        assert None not in row
        for name, cell in row.items():
            assert name in NUMERIC or not cell.lstrip(" ").startswith(FORMULA)
        assert row["amount"] == ("" if line.amount is None else f"{line.amount:f}")


@given(st.lists(lines(), max_size=5))
def test_json_lines_are_read_back_with_amounts_as_texts(found):
    text = written(found, JSON_LINES)
    rows = [json.loads(row) for row in text.splitlines()]
    assert len(rows) == len(found)
    for row, line in zip(rows, found, strict=True):
        assert list(row)[: len(COLUMNS)] == list(COLUMNS)
        assert row["amount"] == (None if line.amount is None else f"{line.amount:f}")


@given(texts(), texts())
def test_names_in_beancount_are_valid_and_unlike_ones_stay_unlike(one, other):
    for text in (one, other):
        assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9-]*", account_of(text), re.ASCII)
        assert COMMODITY.fullmatch(commodity_of(text))
        assert commodity_of(text) not in {"TRUE", "FALSE", "NULL"}
    assert (account_of(one) == account_of(other)) == (one == other)
    assert (commodity_of(one) == commodity_of(other)) == (one.strip().upper() == other.strip().upper())


@given(st.text())
def test_a_string_in_beancount_is_one_line_that_ends_where_it_should(text):
    assert re.fullmatch(r'"(?:[^"\\\n]|\\.)*"', quoted(text))


@given(lines())
def test_a_transaction_balances_or_has_no_postings(line):
    head, *rest = transaction(line, UTC, KEYS).rstrip("\n").split("\n")
    assert re.match(r'\d{4}-\d\d-\d\d [*!] "', head)
    postings = [row.split() for row in rest if row.startswith(("  Assets:", "  Income:"))]
    assert len(postings) in {0, 2}
    if postings:
        (_, one, commodity), (_, other, same) = postings
        assert commodity == same
        assert total((Decimal(one), Decimal(other))) == 0
    assert (" ! " in head[:14]) == (line.amount is None or not postings)


@given(st.lists(lines(), max_size=20))
def test_totals_have_every_line_once_and_every_digit(found):
    sums = Totals()
    for line in found:
        sums.add(line)
    rows: list[Any] = [row for row in sums.rows() if row["kind"] != "price"]
    assert sum(row["lines"] for row in rows) == len(found)
    expected = Counter(map(group, found))
    assert {(row["account"], row["kind"], row["said_by"], row["unit"]): row["lines"] for row in rows} == expected
    for row in rows:
        same = [
            one for one in found if (one.account, one.kind, one.said_by, one.asset or None) == tuple(row.values())[:4]
        ]
        told = [one.amount for one in same if one.amount is not None and one.asset]  # never over unlike coins
        assert row["amount"] == (total(told) if told else None)


def group(line):
    return line.account, line.kind, line.said_by, line.asset or None
