"""0xhost to the letter of its documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from domain.evidence import (
    Created,
    InDoubt,
    OrderRefused,
)
from domain.order import OrderError, parse_order
from tests.contracts.provider_cases import CASES, PLAIN_KEY, create_recorded, edited
from workers.providers.zeroxhost.adapter import ZeroxHost

CASE = CASES["zeroxhost"]
PARAMS = CASE.order["params"]
EXPIRES_AT = datetime(2025, 11, 25, 21, 15, 48, tzinfo=UTC)


def check(account=None, **order):
    fields = {"account": "main", "order_id": "o", "params": PARAMS, **order}
    ZeroxHost.check_order(parse_order(fields), account or CASE.account())


def created(text=CASE.made):
    evidence, _ = create_recorded(CASE, (200, text))
    assert isinstance(evidence, Created)
    return evidence


def test_the_request_is_the_documented_one():
    _, requests = create_recorded(CASE, (200, CASE.made), price="5", currency="EUR")
    assert (requests[0].method, str(requests[0].url)) == ("POST", "https://provider.test/API/invoice")
    assert requests[0].headers["x-api-key"] == PLAIN_KEY
    assert json.loads(requests[0].content) == PARAMS


def test_the_answer_is_read_digit_for_digit():
    evidence = created()
    assert evidence == Created(
        asked_at=evidence.asked_at,
        raw=CASE.made,
        provider_ref="110816020",
        price=Decimal("89.97"),
        currency="EUR",
        pay_amount=Decimal("0.0358619204"),
        pay_currency="ETH",
        network="Ethereum Network",
        address="0x7717324E33798466298275C82711084B452A8179",
        qr_code="URL",
        lifetime_minutes=Decimal(90),
        expires_at=EXPIRES_AT,
        made_at=datetime(2025, 11, 25, 19, 45, 48, tzinfo=UTC),
    )


@pytest.mark.parametrize("digits", ["0.0358619200", "0.0000001", "12345678901234567.123456789012345678", "7"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_amounts_keep_every_digit_as_numbers_and_as_texts(digits, quote):
    evidence = created(CASE.made.replace("0.0358619204", f"{quote}{digits}{quote}"))
    assert format(evidence.pay_amount, "f") == digits


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"success": False, "message": "User not found", "data": []}, "HTTP 200: User not found"),
        ({"success": False}, "HTTP 200: the order was refused"),
        ({"success": True, "transaction": {"success": False}, "message": "No"}, "HTTP 200: No"),
        ({"success": 0, "message": "No", "data": []}, "HTTP 200: No"),
        ({"success": 0.0, "message": "No", "data": []}, "HTTP 200: No"),
        ({"success": 1, "transaction": {"success": 0}, "message": "No"}, "HTTP 200: No"),
    ],
)
def test_refused_comes_with_status_200(document, message):
    evidence, _ = create_recorded(CASE, (200, json.dumps(document)))
    assert isinstance(evidence, OrderRefused)
    assert evidence.reason == message


@pytest.mark.parametrize("success", [..., None, "true", 1, "false"])
def test_only_false_and_0_are_refusals(success):
    """Whatever else stands there: with a usable invoice it was made, without one it is in doubt."""
    refusal = json.dumps({"message": "No", "data": []} | ({} if success is ... else {"success": success}))
    assert isinstance(create_recorded(CASE, (200, refusal))[0], InDoubt)
    assert created(edited(CASE.made, success=success)).provider_ref == "110816020"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("track_id", ...),
        ("track_id", ""),
        ("track_id", "x" * 256),
        ("address", ...),
        ("address", None),
        ("address", "x" * 256),
        ("address", "0x\u202e77"),
        ("pay_amount", ...),
        ("pay_amount", 0),
        ("pay_amount", -1),
        ("pay_amount", "much"),
        ("pay_currency", None),
        ("pay_currency", "x" * 65),
    ],
    ids=str,
)
def test_an_invoice_nobody_could_pay_is_in_doubt(field, value):
    evidence, _ = create_recorded(CASE, (200, edited(CASE.made, "data", **{field: value})))
    assert isinstance(evidence, InDoubt)
    assert evidence.reason == f"HTTP 200: the answer's invoice has no usable {field}"


@pytest.mark.parametrize("field", ["amount", "currency", "network", "qr_code", "order_id", "date", "lifetime"])
@pytest.mark.parametrize("value", [..., None, [], {}, "x" * 3000, "a\x00b", True])
def test_what_is_odd_beside_the_payment_loses_no_invoice(field, value):
    assert created(edited(CASE.made, "data", **{field: value})).expires_at == EXPIRES_AT


@pytest.mark.parametrize(
    "expired_at", [..., None, -1, 0, "soon", [], True, 1e300, 253402300800, 1764105348000, 10**29, 10**200]
)
def test_an_absurd_expired_at_falls_back_to_the_lifetime_counted_from_date(expired_at):
    with capture_logs() as logs:
        evidence = created(edited(CASE.made, "data", expired_at=expired_at))
    assert (evidence.expires_at, evidence.lifetime_minutes) == (EXPIRES_AT, Decimal(90))
    assert [log["event"] for log in logs] == ["provider.expiry_unreadable"]


def test_without_a_date_the_lifetime_is_left_to_be_counted_from_now():
    evidence = created(edited(CASE.made, "data", expired_at=..., date=...))
    assert (evidence.expires_at, evidence.lifetime_minutes) == (None, Decimal(90))


@pytest.mark.parametrize("lifetime", [..., 0, -5, "x", 10**9, None])
def test_without_a_usable_lifetime_it_is_what_date_and_expiry_tell(lifetime):
    evidence = created(edited(CASE.made, "data", lifetime=lifetime))
    assert (evidence.expires_at, evidence.lifetime_minutes) == (EXPIRES_AT, Decimal(90))


@pytest.mark.parametrize(
    ("date", "minutes"), [(..., None), (1764105348, None), (1764105248, Decimal("1.667")), (1, None)]
)
def test_a_lifetime_that_the_times_do_not_tell_is_left_out(date, minutes):
    evidence = created(edited(CASE.made, "data", lifetime=..., date=date))
    assert (evidence.expires_at, evidence.lifetime_minutes) == (EXPIRES_AT, minutes)


@pytest.mark.parametrize(("seconds", "told"), [(60, False), (-60, False), (61, True), (-61, True)])
def test_expired_at_wins_and_a_disagreement_of_more_than_a_minute_is_logged(seconds, told):
    with capture_logs() as logs:
        evidence = created(edited(CASE.made, "data", expired_at=1764105348 + seconds))
    assert int(evidence.expires_at.timestamp()) == 1764105348 + seconds
    assert [log["event"] for log in logs] == ["provider.expiry_disagrees"] * told
    if told:
        assert logs[0]["invoice_id"] == "inv_1"


# ------------------------------------------------------------------------------------------------ orders


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"lifetime_minutes": 60}, "lifetime_minutes: not taken, the provider gives the expiry"),
        ({"params": {"user_id": "u"}}, r"params\.server_id: is required"),
        ({"params": {"server_id": "u"}}, r"params\.user_id: is required"),
        ({"params": {**PARAMS, "user_id": ""}}, r"params\.user_id: must be a text"),
        ({"params": {**PARAMS, "user_id": 7}}, r"params\.user_id: must be a text"),
        ({"params": {**PARAMS, "user_id": "x" * 256}}, r"params\.user_id: must be at most 255"),
        ({"params": {**PARAMS, "user_id": "a\nb"}}, r"params\.user_id: must not contain control characters"),
        ({"params": {**PARAMS, "order_id": "x"}}, r"params\.order_id: unknown field, profile server takes"),
    ],
)
def test_an_order_that_cant_be_sent_is_refused_by_name(order, words):
    with pytest.raises(OrderError, match=f"^{words}"):
        check(**order)


def test_ids_are_opaque_texts():
    check(params={"user_id": "user12345-6789-0123-4567-890123456789", "server_id": "ümlaut / 7"})


def test_a_price_is_taken_for_the_record_and_not_sent():
    check(price="89.97", currency="EUR")
    _, requests = create_recorded(CASE, (200, CASE.made), price="89.97", currency="EUR")
    assert b"89.97" not in requests[0].content


def test_profile_order_sends_five_fields_with_the_orders_own_where_left_out():
    account = CASE.account(profile="order")
    order = {
        "order_id": "o-7",
        "currency": "eur",
        "pay_currency": "eth",
        "params": {"user_id": "u", "network": "ERC20"},
    }
    check(account, **order)
    _, requests = create_recorded(CASE, (200, CASE.made), account=account, **order)
    assert json.loads(requests[0].content) == {
        "user_id": "u",
        "order_id": "o-7",
        "currency": "EUR",
        "pay_currency": "ETH",
        "network": "ERC20",
    }
    with pytest.raises(OrderError, match=r"^params\.network: is required"):
        check(account, **{**order, "params": {"user_id": "u"}})


@pytest.mark.parametrize("key", ["ümlaut", "a\nb", " a", "a\x00"])
def test_a_key_that_no_header_can_carry_is_refused(key):
    with pytest.raises(ValueError, match=r"^api_key: "):
        ZeroxHost.check_account(CASE.account(api_key=key))


@pytest.mark.parametrize(
    ("profile", "told", "kept"),
    [
        ("order", "o-1", None),
        ("order", " o-1 ", None),
        ("order", "o-2", "o-2"),
        ("order", "594948ab-0000", "594948ab-0000"),
        ("order", 17, "17"),
        ("server", "o-2", None),
    ],
)
def test_an_answer_to_a_create_that_named_our_order_says_where_it_names_another(profile, told, kept):
    """Whether that is 0xhost's own id or another order of ours is for the store to tell."""
    sister = {"user_id": "u", "currency": "EUR", "pay_currency": "BTC", "network": "Bitcoin"}
    made = edited(CASE.made, "data", order_id=told)
    params = sister if profile == "order" else PARAMS
    evidence, _ = create_recorded(CASE, (200, made), account=CASE.account(profile=profile), params=params)
    assert isinstance(evidence, Created)
    assert evidence.order_id == kept
