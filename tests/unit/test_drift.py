"""What is new in a provider's answer, held against its documents."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.drift import (
    MOST_FIELDS,
    MOST_NAMES,
    ODD,
    TEXT,
    Told,
    Watch,
    Words,
    amount,
    currencies,
    group,
    networks,
    word,
)
from domain.exact_json import read_json
from tests.contracts.provider_cases import CASES, NEBULOX_MADE, ZEROXHOST_MADE, create_recorded, edited
from workers.providers.nebulox.callbacks import read_callback

STATUS = Words("status", frozenset({"pending", "paid"}))
DOCUMENTED = {
    "look-up": group({
        "result": group({"status": word(STATUS), "price": amount(2, str), "id": TEXT}, or_list=True),
        "message": TEXT,
    })
}  # fmt: skip
SECRET = "hunter-two"


def watch():
    return Watch("shop", "nebulox", DOCUMENTED, lambda text: text.replace(SECRET, "***"))


def news(content, of=None):
    """Kind, place and value of what is new."""
    found = (of or watch()).look(Told("look-up", content))
    return [(new.kind, new.field, new.value) for new in found]


def test_what_is_documented_is_no_news():
    assert news({"result": {"status": "PENDING", "price": "10.50", "id": "i"}, "message": "ok"}) == []
    assert news({"result": [], "message": "ok"}) == []
    assert news({"result": [{"status": "Paid", "price": Decimal("10.5")}]}) == []


def test_a_status_nobody_documented_is_told_by_its_word():
    (new,) = watch().look(Told("look-up", {"result": {"status": " aml_hold "}}))
    assert (new.kind, new.call, new.field, new.value) == ("word", "", "status", "aml_hold")
    assert new.sentence == "nebulox sends a status it never sent: aml_hold"


def test_a_field_a_type_and_decimals_are_told_by_their_place():
    found = watch().look(Told("look-up", {"result": {"aml": {"score": 9}, "id": 7, "price": "10.505"}}))
    assert [new.sentence for new in found] == [
        "nebulox sends a field it never sent: result.aml (look-up)",
        "nebulox sends result.id as a number, which it never did (look-up)",
        "nebulox sends result.price with 3 decimals, more than it ever did (look-up)",
    ]


def test_rows_of_a_list_count_like_the_object_itself_and_each_thing_is_told_once():
    rows = [{"status": "aml_hold", "aml": number} for number in range(3)]
    assert news({"result": rows}) == [("word", "status", "aml_hold"), ("field", "result.aml", "")]


def test_values_are_never_told_but_for_words_of_a_known_list():
    assert news({"customer": "Ann Smith", "result": {"email": "ann@example.org", "id": ["ann@example.org"]}}) == [
        ("field", "customer", ""),
        ("field", "result.email", ""),
        ("type", "result.id", "a list"),
    ]


ODD_WORDS = [
    "ann@example.org",
    "x" * 41,
    "+49 170 1234567",
    "0xabcdef",
    SECRET,
    f"a_{SECRET}",
    "a\nb",
    "\ud800",
    "\x00",
]
ODD_WORDS += ["af8b6d3e-1c2a-4b5d-9e8f-0a1b2c3d4e5f", "order123456", "", "\N{HIGH VOLTAGE SIGN}"]


@pytest.mark.parametrize("odd", ODD_WORDS)
def test_what_is_no_name_and_no_word_is_told_as_a_star(odd):
    assert news({odd: 1}) == [("field", ODD, "")]
    if odd.strip():
        assert news({"result": {"status": odd}}) == [("word", "status", ODD)]


def test_a_map_whose_keys_are_no_names_fills_no_table():
    one = watch()
    found = {new for number in range(60) for new in news({f"tx{chr(97 + number % 26)}{number}": 1}, one)}
    assert len(found) == MOST_NAMES + 1
    assert ("field", ODD, "") in found


def test_an_answer_that_is_larger_than_any_is_not_read_through():
    assert news({"result": [{f"f{n}": n for n in range(MOST_FIELDS)}], "message": 7}) == [
        ("type", "message", "a number")
    ]


def test_an_answer_that_is_no_object_or_of_no_documented_call_is_left_to_its_reader():
    assert news(["a"]) == news("a") == news(None) == []
    assert watch().look(Told("refund", {"a": 1})) == ()


def test_currencies_and_networks_are_known_where_the_system_knows_them():
    assert all(one in currencies().known for one in ("eur", "USD", "usdt"))
    assert all(one in networks().known for one in ("Ethereum Network", "tron", "BTC-CHAIN", "TRC20"))
    assert "wampum" not in currencies().known
    assert "wampum" in currencies("WAMPUM").known
    assert "Wampum Network" not in networks().known
    assert "wampum network" in networks("Wampum Network").known


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=60), inner, max_size=6),
    max_leaves=40,
)


@given(st.dictionaries(st.sampled_from(["result", "message", "x"]) | st.text(), JSON))
def test_whatever_comes_is_read_without_harm_and_what_is_told_is_bounded(content):
    found = watch().look(Told("look-up", content))
    for new in found:
        assert len(new.field) <= 120
        assert len(new.value) <= 40
        assert (new.field + new.value + new.sentence).isprintable()
    assert len(set(found)) == len(found)


@given(st.integers(1, 5000))
def test_an_answer_may_be_as_deep_as_its_parser_lets_it(depth):
    content: object = {}
    for _ in range(depth):
        content = {"result": content, "data": [content]}
    assert news({"result": {"result": content}}) == [("field", "result.result", "")]


# ---------------------------------------------------------------- the providers' own


def looked_at(evidence, case):
    account = case.account()
    own = Watch("main", case.provider, case.adapter.documented(account))
    return [new.sentence for new in own.look(evidence.told)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_recorded_answer_of_a_create_is_as_documented(case):
    evidence, _ = create_recorded(case, (case.success, case.made))
    assert evidence.told is not None
    assert looked_at(evidence, case) == []


@pytest.mark.parametrize(
    ("name", "made", "path"), [("nebulox", NEBULOX_MADE, "result"), ("zeroxhost", ZEROXHOST_MADE, "data")]
)
def test_what_a_create_tells_beside_is_told_also_where_it_can_no_longer_be_read(name, made, path):
    case = CASES[name]
    evidence, _ = create_recorded(case, (case.success, edited(made, path, aml_check="passed")))
    assert looked_at(evidence, case) == [f"{name} sends a field it never sent: {path}.aml_check (create)"]
    renamed = json.loads(made)
    renamed["invoice"] = renamed.pop(path)
    evidence, _ = create_recorded(case, (case.success, json.dumps(renamed)))
    assert looked_at(evidence, case) == [f"{name} sends a field it never sent: invoice (create)"]


def test_a_callback_is_looked_at_as_well():
    case = CASES["nebulox"]
    body = b'{"orderId": "1", "status": "AML_HOLD", "trackingCode": 7, "riskLevel": 3, "network": "Bitcoin"}'
    said = read_callback(body)
    assert looked_at(said, case) == [
        "nebulox sends a status it never sent: AML_HOLD",
        "nebulox sends a field it never sent: riskLevel (callback)",
    ]


def test_the_answer_is_no_part_of_what_was_said():
    case = CASES["nebulox"]
    one, _ = create_recorded(case, (201, NEBULOX_MADE))
    other, _ = create_recorded(case, (201, edited(NEBULOX_MADE, "result", info=None)))
    assert "told" not in repr(one)
    assert one.told is not other.told
    assert read_json(NEBULOX_MADE) == one.told.content
