"""The envelope: CloudEvents 1.0 that other people's packages parse, exact, bounded, byte for byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from domain.event import envelope, format_time, invoice_fields, new_id
from domain.exact_json import write_json
from domain.visible import escape
from workers.store.tables.invoices import Invoice

MOMENT = datetime(2026, 11, 21, 20, 19, 0, 123_999, tzinfo=UTC)


def invoice(**given):
    fields = dict.fromkeys(Invoice.model_fields) | {
        "id": "inv_1",
        "account": "shop",
        "provider_account": "shop",
        "provider": "zeroxhost",
        "order_id": "order-1",
        "idempotency_key": "order-1",
        "status": "expired",
        "sequence": 3,
        "metadata_json": "{}",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
    return SimpleNamespace(**(fields | given))


def event(**given) -> bytes:
    return envelope(
        invoice(**given), event_id="evt_1", event_type="invoice.expired", previous_status="pending", time=MOMENT
    )


def test_the_cloudevents_package_reads_it():
    read = JSONFormat().read(CloudEvent, event())
    assert (read.get_id(), read.get_type(), read.get_source()) == ("evt_1", "invoice.expired", "/invoices/shop")
    assert (read.get_subject(), read.get_datacontenttype()) == ("inv_1", "application/json")
    assert read.get_time() == MOMENT.replace(microsecond=123_000)
    assert read.get_extension("sequence") == "000000000003"
    data = read.get_data()
    assert isinstance(data, dict)
    assert (data["status"], data["previous_status"]) == ("expired", "pending")


def test_its_data_is_what_the_command_line_prints_byte_for_byte():
    bare = invoice()
    full = invoice(
        order_id='o "1" \\ \n \u2028 ü 🙂',
        anomaly="late",
        price=Decimal("1E+3"),
        currency="EUR",
        pay_amount=Decimal("0.00012340"),
        pay_currency="BTC",
        network="Bitcoin",
        address="bc1q0",
        payment_url="https://pay.example/?a=1&b=2",
        qr_code="data:image/png;base64,AA==",
        provider_ref="ref/1",
        paid_amount=Decimal("1E-8"),
        lifetime_minutes=Decimal("0.50"),
        expires_at=MOMENT.astimezone(timezone(timedelta(hours=5))),
        metadata_json='{"a":1.10,"b":[]}',
        reason='said "no"\t',
    )
    for one in (bare, full):
        body = envelope(one, event_id="evt_1", event_type="invoice.paid", previous_status="pending", time=MOMENT)
        shown = escape(write_json(invoice_fields(one)))
        assert body.decode().partition(',"data":')[2] == f'{shown[:-1]},"previous_status":"pending"}}}}'


def test_it_is_a_standard_webhooks_payload_too():
    document = json.loads(event())
    assert set(document) >= {"type", "timestamp", "data"}
    assert document["timestamp"] == document["time"] == "2026-11-21T20:19:00.123Z"


def test_it_carries_everything_that_show_prints():
    data = json.loads(event())["data"]
    listed = (  # the contract's list for `invoices show --json`
        "id account provider order_id status anomaly price currency pay_amount pay_currency network address "
        "payment_url qr_code provider_ref paid_amount lifetime_minutes expires_at created_at updated_at sequence "
        "metadata reason"
    )
    assert set(listed.split()) <= set(data)
    assert set(json.loads(write_json(invoice_fields(invoice())))) | {"previous_status"} == set(data)


def test_amounts_are_strings_with_every_digit_and_no_exponent():
    data = json.loads(event(price=Decimal("89.970"), pay_amount=Decimal("0.0358619204"), paid_amount=Decimal("1E-18")))
    data = data["data"]
    assert (data["price"], data["pay_amount"]) == ("89.970", "0.0358619204")
    assert data["paid_amount"] == "0.000000000000000001"


@pytest.mark.parametrize(("minutes", "text"), [(Decimal(60), "60"), (Decimal("0.50"), "0.50"), (None, "null")])
def test_lifetime_minutes_is_a_number(minutes, text):
    assert f'"lifetime_minutes":{text},'.encode() in event(lifetime_minutes=minutes)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (MOMENT, "2026-11-21T20:19:00.123Z"),  # cut, not rounded: told before it was would be early
        (MOMENT.replace(microsecond=0), "2026-11-21T20:19:00.000Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=2))), "2026-11-21T20:19:00.123Z"),
    ],
)
def test_times_are_utc_with_milliseconds(time, text):
    assert format_time(time) == text


def test_metadata_comes_back_byte_for_byte():
    stored = '{"z":1.10,"a":{"é":"\\u0000\\"","n":1E+2},"big":123456789012345678901234567890,"list":[null,true]}'
    assert f'"metadata":{stored},'.encode() in event(metadata_json=stored)


WIDE = "\N{MONEY BAG}"  # four bytes of UTF-8, the most a character takes


@pytest.mark.parametrize(
    "answer",
    [
        {"payment_url": WIDE * 2048},  # the most that an adapter keeps of an answer
        {
            "qr_code": "q" * 2048,
            "address": "a" * 255,
            "network": "Ethereum Network",
            "pay_currency": "ETH",
            "pay_amount": Decimal("9" * 30 + "." + "9" * 18),
        },
    ],
    ids=["nebulox", "zeroxhost"],
)
def test_the_largest_order_with_the_largest_answer_stays_under_20_kb(answer):
    metadata = write_json({"a": "x" * (4096 - len('{"a":""}'))})
    body = event(
        account="s" * 64,
        order_id=WIDE * 128,
        idempotency_key=WIDE * 255,
        provider_ref="r" * 255,
        currency=WIDE * 16,
        price=Decimal("9" * 30 + "." + "9" * 30),
        metadata_json=metadata,
        reason="r" * 500,
        expires_at=MOMENT,
        **answer,
    )
    assert len(body) < 20_000
    assert json.loads(body)["data"]["order_id"] == WIDE * 128


def test_ids_sort_by_the_time_they_were_made():
    made = [new_id("evt") for _ in range(100)]
    assert made == sorted(made)
    assert len(set(made)) == 100
    assert all(len(one) == len("evt_") + 32 for one in made)
