"""A proof's parts that need no database: the chain of lines, sums, what is missing, what was ordered."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from domain.fallbacks import next_turn, write_fallbacks
from domain.order import parse_order
from domain.ordered import ordered
from domain.payments import Payment
from domain.proof import Chain, adds_up, changed, sums, told
from domain.sequence import EPOCH_STEP, gaps
from domain.status import SILENT, TRANSITIONS, Status
from tests.invoice_world import new_policy
from tests.proofs import CHECKER
from workers.store.intake import _row as row_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_each_line_has_the_hash_of_the_one_before_and_a_body_stands_in_it_byte_for_byte():
    chain, body = Chain(), b'{"a":1.50,"b":"\\u202e"}'
    first, second = chain.line("proof", {"of": "\u202eé"}), chain.line("event", {}, body)
    assert first == b'{"n":1,"prior":null,"record":"proof","of":"\\u202e\xc3\xa9"}\n'
    assert json.loads(second)["prior"] == hashlib.sha256(first[:-1]).hexdigest()
    assert second.endswith(b',"body":' + body + b"}\n")
    assert json.loads(second)["sha256"] == hashlib.sha256(body).hexdigest()
    with pytest.raises(ValueError, match="the chain's own names: body, prior"):
        chain.line("act", {"prior": 1, "body": 2, "before": 3})
    assert chain.seal() == b'{"top":"%b"}\n' % hashlib.sha256(second[:-1]).hexdigest().encode()


def test_numbers_are_compared_by_their_digits():
    assert told(b'{"a":1.50,"b":7}') == {"a": "1.50", "b": "7"}
    assert changed(told(b'{"a":1.5,"b":7,"c":1}'), told(b'{"a":1.50,"b":7}')) == ["a", "c"]
    with pytest.raises(ValueError, match="several lines"):
        told(b'{"a":\n1}')


@pytest.mark.parametrize(
    ("sequences", "last", "epochs", "missing"),
    [
        ([], 0, (), []),
        ([1, 2, 3], 3, (), []),
        ([], 2, (), [(0, 3)]),
        ([3, 4], 6, (), [(0, 3), (4, 7)]),
        ([1, EPOCH_STEP + 1], EPOCH_STEP + 1, (), [(1, EPOCH_STEP + 1)]),
        ([1, EPOCH_STEP + 1], EPOCH_STEP + 1, (1,), []),
        ([1, 2 * EPOCH_STEP + 1, 2 * EPOCH_STEP + 2], 2 * EPOCH_STEP + 2, (1, 2), []),
        ([1, 2 * EPOCH_STEP + 2], 2 * EPOCH_STEP + 2, (1, 2), [(1, 2 * EPOCH_STEP + 2)]),
        ([EPOCH_STEP + 1, EPOCH_STEP + 2], EPOCH_STEP + 2, (1,), []),
    ],
)
def test_what_is_missing_among_events_shows_in_their_numbers(sequences, last, epochs, missing):
    assert list(gaps(sequences, last, epochs)) == missing


def payment(amount, kind="payment", asset=None):
    given: dict[str, Any] = {"kind": kind, "key": "k", "source": "look-up", "status": Status.PAID, "asset": asset}
    return Payment(**given, amount=amount and Decimal(amount), first_seen_at=NOW, last_seen_at=NOW)


def test_sums_keep_every_digit():
    long = "0." + "0" * 29 + "1"
    summed = sums([payment("9" * 30), payment(long), payment(None), payment("2.50", "refund", "ETH")], "BTC")
    assert summed == [
        {"kind": "payment", "asset": "BTC", "amount": "9" * 30 + long[1:]},
        {"kind": "refund", "asset": "ETH", "amount": "2.50"},
    ]
    assert adds_up(Decimal("9" * 30 + long[1:]), summed)
    assert not adds_up(Decimal("9" * 30), summed)
    assert adds_up(None, summed)


ORDERS = [
    {},
    {"price": None, "currency": None, "params": {"user_id": "u", "server_id": "s"}},
    {"price": "1.5E+2", "pay_currency": "btc", "network": "Bitcoin", "lifetime_minutes": "7.50"},
    {"metadata": {"z": [1, Decimal("2.50"), {"ä\u202e": None}], "a": "\U0001f600"}, "lifetime_minutes": 60},
    {"fallback_accounts": ["b"]},
    {"fallback_accounts": ["c", {"account": "b", "price": "7.00", "currency": "usd", "params": {"x": 1}}]},
]


def taken(**fields):
    order = parse_order({"account": "a", "order_id": "o-1", "price": "19.990", "currency": "EUR"} | fields)
    return SimpleNamespace(**row_of(order, "nebulox", NOW)), order


@pytest.mark.parametrize("fields", ORDERS)
def test_what_was_ordered_is_found_by_its_digest(fields):
    row, order = taken(**fields)
    content = ordered(row, ("a", "b", "c"))
    assert content is not None
    assert hashlib.sha256(content.encode()).hexdigest() == order.digest() == row.digest


@pytest.mark.parametrize("fields", ORDERS[:-1])
def test_it_is_found_although_the_provider_has_told_more(fields):
    row, _ = taken(**fields)
    row.fallbacks = None
    row.lifetime_minutes = Decimal(60) if fields.get("lifetime_minutes") is None else row.lifetime_minutes
    row.pay_currency, row.network = row.pay_currency or "LTC", row.network or "Litecoin"
    row.price, row.currency = row.price or Decimal(3), row.currency or "USD"
    assert ordered(row, ("a", "b", "c")) is not None


@pytest.mark.parametrize(
    ("order", "entry"),
    [
        ({}, {}),
        ({}, {"params": {"x": 1}}),
        ({"price": None, "currency": None, "params": {"u": 1}}, {"price": "7.10", "currency": "USD"}),
    ],
)
def test_it_is_found_although_a_fallback_account_made_it(order, entry):
    row, _ = taken(**order, fallback_accounts=[{"account": "b", **entry}])
    changes, _ = next_turn(row, new_policy(providers={"b": "zeroxhost"}))
    vars(row).update(changes or {})
    assert (row.provider_account, row.fallbacks) == ("b", None)
    assert ordered(row, ("a", "b")) is not None


def test_what_can_no_longer_be_known_is_not_made_up():
    row, order = taken(price="5")
    row.price = Decimal(6)
    assert ordered(row, ("a", "b")) is None
    assert write_fallbacks(order) is None


def test_the_script_is_a_hundred_lines_of_plain_python_3_9():
    text = CHECKER.read_text()
    assert len(text.splitlines()) <= 100
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"collections", "decimal", "hashlib", "json", "sys"}
    assert not re.search(r"\b(eval|exec|compile|__import__|pickle|match)\b", text)


def test_the_script_knows_the_moves_that_the_lifecycle_may_make():
    names: dict[str, Any] = {}
    exec(CHECKER.read_text(), names)
    known = {before: {after for after in afters if after not in SILENT} for before, afters in TRANSITIONS.items()}
    assert {Status(before): set(afters) for before, afters in names["MAY"].items()} == {
        before: afters for before, afters in known.items() if afters
    }
    assert f"* {EPOCH_STEP:_} + 1" in CHECKER.read_text()
