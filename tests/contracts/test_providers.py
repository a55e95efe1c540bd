"""One contract for every provider: whatever it answers becomes evidence, and never an exception."""

from __future__ import annotations

import json
from decimal import Decimal

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.evidence import (
    Created,
    Evidence,
    InDoubt,
    OrderRefused,
    RateLimited,
    Unreachable,
    Unreadable,
)
from domain.order import OrderError, parse_order
from tests.contracts.made_up import EVERY
from tests.contracts.provider_cases import CASES, NOW, PLAIN_KEY, create_recorded, edited, look_up_recorded
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.providers.answer import MAX_RAW_BYTES
from workers.providers.registry import PROVIDERS, UnknownProviderError, provider

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


def test_every_provider_of_the_registry_has_its_case():
    assert set(CASES) == set(PROVIDERS)
    assert all(adapter.name == name for name, adapter in PROVIDERS.items())


def test_every_provider_of_the_registry_is_played_by_the_sandbox():
    assert {each.name for each in STAND_INS} == set(PROVIDERS)


def test_an_unknown_provider_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(UnknownProviderError, match="'paypal' is unknown; known are nebulox, zeroxhost"):
        provider("paypal")


@ALL
def test_a_good_order_and_account_pass_the_checks(case):
    adapter = case.adapter
    adapter.check_account(case.account())
    adapter.check_order(parse_order({"account": "main", **case.order}), case.account())


@ALL
def test_an_account_with_an_unknown_profile_is_refused(case):
    with pytest.raises(ValueError, match=r"^profile: "):
        case.adapter.check_account(case.account(profile="gold"))


@ALL
def test_a_param_nobody_documented_is_refused_by_name(case):
    order = parse_order({"account": "main", **case.order, "params": {**case.order.get("params", {}), "colour": "red"}})
    with pytest.raises(OrderError, match=r"^params\.colour: unknown field"):
        case.adapter.check_order(order, case.account())


@ALL
def test_the_documented_answer_makes_an_invoice(case):
    evidence, requests = create_recorded(case, (case.success, case.made))
    assert isinstance(evidence, Created)
    assert evidence.provider_ref == case.ref
    assert evidence.asked_at in {None, NOW}  # the stage takes it away: a create says nothing of when it was paid
    assert len(requests) == 1
    assert requests[0].headers["content-type"] == "application/json"


@ALL
def test_the_answers_invoice_may_be_the_only_one_of_a_list(case):
    document = json.loads(case.made, parse_float=Decimal)
    name = "result" if "result" in document else "data"
    document[name] = [document[name]]
    evidence, _ = create_recorded(case, (case.success, json.dumps(document, default=str)))
    assert isinstance(evidence, Created)


@ALL
@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_with_a_usable_invoice_counts_as_made(case, status):
    assert isinstance(create_recorded(case, (status, case.made))[0], Created)


@ALL
def test_a_refused_order_brings_the_providers_message(case):
    evidence, _ = create_recorded(case, case.refused)
    assert isinstance(evidence, OrderRefused)
    assert evidence.reason.split(": ")[1] in {"price must be positive", "User not found"}


@ALL
@pytest.mark.parametrize("status", [302, 303, 304, 408, 500, 502, 503, 504, 520, 599])
def test_what_does_not_say_what_became_of_the_order_is_in_doubt(case, status):
    headers = {"location": "https://elsewhere.test/", "retry-after": "5"}
    evidence, requests = create_recorded(case, httpx.Response(status, headers=headers, text=case.made))
    assert isinstance(evidence, InDoubt)
    assert len(requests) == 1


@ALL
@pytest.mark.parametrize(
    "body",
    [
        "",
        HTML,
        "null",
        "[]",
        "7",
        '"made"',
        "{}",
        '{"result": [], "data": []}',
        '{"result": {}, "data": {}}',
        "[" * 100_000,
        '{"a": NaN}',
        "1" * 5000,
        b"\xff\xfe\x00",
        '{"message": {"deep": 1}, "result": 3, "data": 3}',
    ],
    ids=str,
)
def test_a_success_that_holds_no_invoice_is_in_doubt(case, body):
    evidence, _ = create_recorded(case, (case.success, body))
    assert isinstance(evidence, InDoubt)
    assert "\n" not in evidence.reason


@ALL
def test_two_invoices_in_one_answer_are_in_doubt(case):
    document = json.loads(case.made)
    name = "result" if "result" in document else "data"
    document[name] = [document[name], document[name]]
    assert isinstance(create_recorded(case, (case.success, json.dumps(document)))[0], InDoubt)


@ALL
def test_a_truncated_answer_is_in_doubt(case):
    for end in range(0, len(case.made.rstrip()) - 1, 7):
        assert isinstance(create_recorded(case, (case.success, case.made[:end]))[0], InDoubt)


@ALL
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Tue, 25 Nov 2025 19:46:18 GMT", 30.0),
        ("Tue, 25 Nov 2025 19:46:18 -0000", 30.0),
        ("Mon, 24 Nov 2025 19:46:18 GMT", 0.0),
        ("9" * 400, 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_429_waits_as_long_as_the_provider_says(case, value, seconds):
    headers = {} if value is None else {"retry-after": value}
    evidence, _ = create_recorded(case, httpx.Response(429, headers=headers, text="{}"))
    assert isinstance(evidence, RateLimited)
    assert evidence.retry_after_seconds == seconds


@ALL
def test_an_answer_that_quotes_the_key_is_kept_without_it(case):
    spellings = [PLAIN_KEY, PLAIN_KEY.replace("/", r"\/"), "s3cret-k3y%2F1"]
    for status in (200, 400, 403, 429, 500):
        body = json.dumps({"message": f"bad key {PLAIN_KEY}", "result": [], "extra": "x"}).replace(
            '"x"', f'"{spellings}"'
        )
        evidence, _ = create_recorded(case, (status, body))
        assert "***" in (evidence.raw or "")
        assert not any(spelling in repr(evidence) for spelling in spellings)


@ALL
def test_a_key_across_the_cut_of_the_kept_answer_is_not_half_kept(case):
    filler = "x" * (MAX_RAW_BYTES - len(PLAIN_KEY) // 2)
    evidence, _ = create_recorded(case, (500, filler + PLAIN_KEY + filler))
    assert PLAIN_KEY[:4] not in (evidence.raw or "")
    assert len((evidence.raw or "").encode()) <= MAX_RAW_BYTES


@ALL
def test_texts_that_a_database_refuses_are_made_harmless(case):
    body = b'{"success": false, "message": "no\\u0000pe\\ud800\\n\\u202eline two", "x": "\x00\xff"}'
    for status in (200, 400, 500):
        evidence, _ = create_recorded(case, (status, body))
        for text in (evidence.raw, getattr(evidence, "reason", "")):
            text.encode()
            assert "\x00" not in text
        assert "\n" not in evidence.reason


@ALL
def test_a_request_that_cant_be_built_was_never_sent(case):
    account = case.account(base_url="https://provider.test/\x01")
    evidence, requests = create_recorded(case, (200, case.made), account=account)
    assert isinstance(evidence, Unreachable)
    assert requests == []


@ALL
@pytest.mark.parametrize(
    "kind", [httpx.ReadTimeout, httpx.ConnectTimeout, httpx.RemoteProtocolError, OSError, KeyError]
)
def test_any_exception_without_proof_is_in_doubt(case, kind):
    def fail(request):
        raise kind(PLAIN_KEY)

    evidence, _ = create_recorded(case, fail)
    assert isinstance(evidence, InDoubt)
    assert PLAIN_KEY not in repr(evidence)


@ALL
def test_an_order_the_account_no_longer_takes_is_refused_unsent(case):
    evidence, requests = create_recorded(case, (200, case.made), params={"colour": "red"})
    assert isinstance(evidence, OrderRefused)
    assert evidence.reason.startswith("params.colour: ")
    assert requests == []


@ALL
def test_a_lookup_of_nothing_asks_nobody(case):
    assert look_up_recorded(case, [], (200, "{}")) == ({}, [])


@ALL
def test_who_cant_be_asked_says_so_for_each(case):
    answers, requests = look_up_recorded(case, ["a", "b"], (200, "{}"))
    assert list(answers) == ["a", "b"]
    assert all(isinstance(answer, Unreadable) for answer in answers.values())
    assert bool(requests) is case.adapter.can_be_asked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals().map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=20,
)


def mutations(case):
    """The recorded answer with anything in the place of any of its fields."""
    document = json.loads(case.made)
    places = [(part, name) for part, inner in document.items() if isinstance(inner, dict) for name in inner]
    places += [(None, part) for part in document]
    return st.tuples(st.sampled_from(places), JSON).map(
        lambda pair: edited(case.made, *([pair[0][0]] if pair[0][0] else []), **{pair[0][1]: pair[1]})
    )


def check_storable(evidence):
    assert isinstance(evidence, Evidence)
    for name in (*evidence.__slots__, "raw", "reason"):
        text = getattr(evidence, name, None)
        if isinstance(text, str):
            text.encode()  # no lone surrogates
            assert "\x00" not in text
            assert len(text) <= (MAX_RAW_BYTES if name == "raw" else 2048)


@ALL
@settings(deadline=None)
@given(data=st.data())
def test_no_answer_at_all_raises(case, data):
    body = data.draw(st.binary() | JSON.map(json.dumps) | mutations(case))
    status = data.draw(st.sampled_from([200, 201, 204, 302, 400, 401, 406, 408, 422, 429, 500]))
    check_storable(create_recorded(case, (status, body))[0])


@ALL
@settings(deadline=None)
@given(data=st.data())
def test_no_answer_to_a_lookup_raises(case, data):
    refs = data.draw(st.lists(st.text(max_size=10), min_size=1, max_size=7))
    row = st.fixed_dictionaries({}, optional={"track_id": st.sampled_from(refs), "status": JSON, "tx_hash": JSON})
    wrapped = st.one_of(row, st.lists(row)).map(lambda inner: json.dumps({"success": True, "data": inner}))
    body = data.draw(st.binary() | JSON.map(json.dumps) | wrapped)
    status = data.draw(st.sampled_from([200, 204, 302, 400, 401, 404, 429, 500]))
    answers, _ = look_up_recorded(case, refs, (status, body))
    assert set(answers) == set(refs)
    for evidence in answers.values():
        check_storable(evidence)
