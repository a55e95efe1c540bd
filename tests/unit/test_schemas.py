"""The published schemas say what is really told: each event, byte for byte as it is written, and nothing more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import jsonschema
import pytest

from domain.event import FIELDS, INVOICE_TYPES, RESTORED, TEST_TYPE, envelope, invoice_fields, notice
from domain.exact_json import write_json
from domain.refused_order import RefusedOrder
from domain.schemas import component_schemas, ref, task_schema
from domain.status import SILENT, Anomaly, Status
from tests.schemas import check
from tests.unit.test_event import invoice

MOMENT = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
EVENT_ID = f"evt_{'0' * 32}"
FULL = {
    "anomaly": "late",
    "price": Decimal("10.50"),
    "currency": "EUR",
    "pay_amount": Decimal("0.00012340"),
    "pay_currency": "BTC",
    "network": "Bitcoin",
    "address": "bc1q0",
    "payment_url": "https://pay.example/1",
    "qr_code": "data:image/png;base64,AA==",
    "provider_ref": "ref/1",
    "paid_amount": Decimal("1E-8"),
    "lifetime_minutes": Decimal("0.50"),
    "expires_at": MOMENT,
    "metadata_json": '{"cart":7}',
    "reason": "said so",
}


def event(kind="invoice.paid", more=None, **fields):
    body = envelope(
        invoice(**fields), event_id=EVENT_ID, event_type=kind, previous_status="pending", time=MOMENT, more=more
    )
    return json.loads(body)


@pytest.mark.parametrize("fields", [{}, FULL])
def test_an_invoice_is_what_its_schema_says(fields):
    check(json.loads(write_json(invoice_fields(invoice(**fields)))), ref("Invoice"))


@pytest.mark.parametrize("name", ["InvoiceEvent", "Event"])
@pytest.mark.parametrize("fields", [{}, FULL])
@pytest.mark.parametrize("kind", sorted(INVOICE_TYPES - {"invoice.contradiction"}))
def test_an_event_is_what_its_schema_says(kind, fields, name):
    check(event(kind, **fields), ref(name))


@pytest.mark.parametrize("more", [None, {"kind": "mark", "words": "it is paid"}])
def test_so_is_a_contradiction(more):
    for name in ("ContradictionEvent", "Event"):
        check(event("invoice.contradiction", more), ref(name))


@pytest.mark.parametrize("existing", [None, f"inv_{'0' * 32}"])
def test_so_is_a_refused_order(existing):
    order = RefusedOrder("shop", "1001", "1001", "conflict" if existing else "invalid", existing)
    told = json.loads(order.told(EVENT_ID, "price: must be greater than 0", MOMENT))
    check(told, ref("OrderRejectedEvent"))
    check(told, ref("Event"))


def test_so_is_the_event_by_which_a_receiver_is_tested():
    check(json.loads(notice(EVENT_ID, TEST_TYPE, MOMENT, {"endpoint": "ep_1"}, subject="ep_1")), ref("TestEvent"))


@pytest.mark.parametrize("known_until", [None, "2026-11-29T08:00:00.000Z"])
def test_so_is_a_restoration(known_until):
    data = {"epoch": 1, "at": "2026-11-29T09:00:00.000Z", "known_until": known_until, "advice": "ask anew"}
    check(json.loads(notice(EVENT_ID, RESTORED, MOMENT, data)), ref("RestoredEvent"))


@pytest.mark.parametrize(
    "wrong",
    [{"data": {}}, {"sequence": "1"}, {"id": "1"}, {"type": "invoice.queued"}, {"time": "today"}, {"colour": "red"}],
)
def test_what_is_no_event_of_ours_is_told_apart(wrong):
    with pytest.raises(jsonschema.ValidationError):
        check(event() | wrong, ref("Event"))


def test_each_field_of_an_invoice_is_described_once_in_the_order_in_which_it_is_told():
    schema = component_schemas()["Invoice"]
    assert list(schema["properties"]) == [field.name for field in FIELDS] == list(invoice_fields(invoice()))
    assert all(part["description"] for part in schema["properties"].values())
    assert schema["properties"]["status"]["enum"] == list(Status)
    assert schema["properties"]["anomaly"]["anyOf"][0]["enum"] == list(Anomaly)


def test_every_status_that_is_told_has_a_type_in_the_schema_and_no_other():
    types = component_schemas()["InvoiceEvent"]["properties"]["type"]["enum"]
    assert types == sorted(f"invoice.{status}" for status in Status if status not in SILENT)


def test_what_the_documents_say_of_an_order_is_what_the_command_prints():
    components, printed = component_schemas(), task_schema("create")
    assert components["Order"]["properties"].keys() == printed["properties"].keys()
    assert {"if", "then"} <= set(components["Order"])
    assert components["Cancellation"]["anyOf"] == task_schema("cancel")["anyOf"]
