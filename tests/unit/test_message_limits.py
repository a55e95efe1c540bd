"""What a body may make of itself is known before it is parsed, and what was delivered too often is told so."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from domain.json_size import holds_more_values, opens_more
from workers.intake.message import CREATE, CREATE_MANY, RUN, Accepted, TurnedAway, give_up, inspect
from workers.transport.message_limits import MAX_DEPTH, MAX_MANY_BODY_BYTES, MAX_MANY_VALUES, MAX_VALUES

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ORDER = {"account": "nebulox", "order_id": "x", "price": "1.00", "currency": "EUR"}


def judge(body, task=CREATE_MANY):
    body = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    headers = {"task": task, "id": "1"} if task else {}
    return inspect(headers, {}, body, "application/json", "utf-8", now=NOW)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", 0),
        ("[]", 1),
        ("[1,2,3]", 3),
        ('{"a":1,"b":[2,{}]}', 5),
        ('["a,b,c[[[{{{",2]', 2),
        (r'["\",[,\\",1]', 2),
        (r'["\\\",,,"]', 1),
    ],
)
def test_values_are_counted_without_what_stands_in_strings(text, values):
    assert not holds_more_values(text.encode(), max(values, 1))
    assert values == 0 or holds_more_values(text.encode(), values - 1)


@pytest.mark.parametrize(("text", "brackets"), [(b"1", 0), (b"[]", 1), (b'{"a":[2,{}]}', 3), (b'["[{",2]', 3)])
def test_brackets_that_open_are_counted_those_in_strings_too(text, brackets):
    assert not opens_more(text, brackets)
    assert brackets == 0 or opens_more(text, brackets - 1)


PIECES = [b"[],", b"{},", b"0,", b'"",', b'{"":[]},', b'"\\\\",', b'"\\"",', b"[[],{}],"]


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
@pytest.mark.parametrize("task", [CREATE_MANY, CREATE, None])
def test_megabytes_of_the_smallest_values_are_never_parsed(monkeypatch, piece, task):
    monkeypatch.setattr("workers.intake.message.read_json", lambda _: pytest.fail("it was parsed"))
    body = b'[[],{"orders":[' + piece * ((MAX_MANY_BODY_BYTES - 100) // len(piece)) + b"0]},{}]"
    refused = judge(body, task)
    assert isinstance(refused, TurnedAway)
    assert refused.reason.startswith("body: holds more than" if task != CREATE else "body: is 8")


@pytest.mark.parametrize("text", [b'"' + b'\\"' * 2_000_000, b'"\\' * 2_000_000, b'"' * 4_000_001, b"\\" * 4_000_000])
def test_strings_that_do_not_end_are_looked_at_once(text):
    assert isinstance(judge(b"[" + b"," * (MAX_MANY_VALUES + 1) + text), TurnedAway)


def test_as_many_orders_as_may_come_with_as_much_metadata_are_taken():
    metadata = {f"{n:x}": 0 for n in range(540)}
    assert 4000 < len(json.dumps(metadata, separators=(",", ":"))) <= 4096
    orders = [ORDER | {"order_id": str(n), "metadata": metadata} for n in range(500)]
    assert isinstance(judge([[], {"orders": orders}, {}]), Accepted)


def test_an_order_full_of_values_is_taken_and_one_beyond_that_is_not():
    room = MAX_VALUES - 30
    assert isinstance(judge([[], ORDER | {"metadata": {"x": [0] * room}}, {}], CREATE), Accepted)
    refused = judge([[], ORDER | {"metadata": {"x": [0] * (MAX_VALUES + 1)}}, {}], CREATE)
    assert isinstance(refused, TurnedAway)
    assert refused.reason == f"body: holds more than {MAX_VALUES} values"


def test_nesting_is_bounded():
    for levels in (MAX_DEPTH, 5000, 3_000_000):
        refused = judge(b"[" * levels + b"]" * levels)
        assert isinstance(refused, TurnedAway)
        assert "nested" in refused.reason or "must be [args" in refused.reason


@pytest.mark.parametrize("number", ["1" * 1_000_000, "-" + "9" * 5000, "[" + ",".join(["1" * 4400] * 100) + "]"])
def test_whole_numbers_without_end_are_refused(number):
    refused = judge(f'[[],{{"orders":{number}}},{{}}]'.encode())
    assert isinstance(refused, TurnedAway)
    assert refused.reason.startswith("body: is not JSON")


@pytest.mark.parametrize("price", ["1e999999999", "1e-999999999", "0." + "1" * 60_000])
def test_an_order_s_price_of_any_size_is_judged_without_writing_it_out(price):
    body = f'[[],{{"account":"nebulox","order_id":"x","currency":"EUR","price":{price}}},{{}}]'.encode()
    judged = judge(body, CREATE)
    assert isinstance(judged, Accepted)
    assert len(judged.arguments[0]) < len(body) + 100


def test_a_message_that_never_finished_is_listed_whole_so_that_it_can_be_sent_again():
    accepted = judge([[], ORDER, {}], CREATE)
    assert isinstance(accepted, Accepted)
    given_up = give_up(accepted, 5)
    assert given_up.reason == "was delivered 5 times and never finished"
    assert (given_up.task, given_up.complete) == (CREATE, True)
    assert json.loads(given_up.excerpt) == ORDER
    assert given_up.message_key == accepted.arguments[1]


def test_a_long_one_is_listed_by_its_beginning():
    accepted = judge([[], ORDER | {"metadata": {"x": "y" * 3000}}, {}], CREATE)
    assert isinstance(accepted, Accepted)
    assert not give_up(accepted, 5).complete


def test_a_doorbell_that_never_finished_is_listed_too():
    given_up = give_up(Accepted(RUN, "id", ["create", "nebulox"]), 5)
    assert (given_up.task, given_up.complete) == (RUN, False)
