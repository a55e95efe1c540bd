"""What reads: list, show, events, watch, rejected, deliveries, schema, doctor."""

from __future__ import annotations

from decimal import Decimal

import jsonschema
import pytest

from domain.evidence import CalledBack, CancelRequested, Created
from domain.order import OrderError, parse_order
from domain.status import Status
from workers.store.intake import Rejection
from workers.store.judging import Judgement
from workers.store.tables import INVOICE


def test_list_prints_json_lines_newest_first(invoices, add_order):
    made = [add_order(f"order-{number}") for number in range(3)]

    assert [line["id"] for line in invoices("list", "--json").lines] == made[::-1]
    assert [line["id"] for line in invoices("list", "--json", "--limit", 1).lines] == made[-1:]
    assert invoices("list", "--json", "--status", "paid").out == ""
    assert len(invoices("list", "--json", "--since", "1h", "--account", "nebulox", "--limit", 0).lines) == 3
    assert invoices("list", "--json", "--since", "2999-01-01T00:00:00Z").out == ""


def test_list_prints_a_table_without_colours_where_there_is_no_terminal(invoices, add_order):
    invoice_id = add_order("order-1")
    ran = invoices("list")
    assert invoice_id in ran.out
    assert "12.50 EUR" in ran.out
    assert "\x1b" not in ran.out


def test_show_prints_the_fields_of_the_contract(invoices, add_order):
    invoice_id = add_order("order-1", price="12.5000", metadata={"rate": 1.5, "tags": ["a"]})
    by_id, by_order = invoices("show", invoice_id, "--json"), invoices("show", "order-1", "--json")

    assert by_id.out == by_order.out
    (shown,) = by_id.lines
    wanted = (
        "id account provider order_id status anomaly price currency pay_amount pay_currency network address "
        "payment_url qr_code provider_ref paid_amount lifetime_minutes expires_at created_at updated_at sequence "
        "metadata reason"
    )
    assert set(wanted.split()) <= set(shown)
    assert shown["price"] == "12.5000"
    assert shown["metadata"] == {"rate": 1.5, "tags": ["a"]}
    assert shown["status"] == "queued"


def test_show_tells_a_person_what_happened(invoices, add_order, store):
    invoice_id = add_order("order-1")
    store.judge([Judgement(invoice_id, CancelRequested(reason="sold out"))])
    ran = invoices("show", "order-1")
    assert "sold out" in ran.out
    assert "invoice.cancelled" in ran.out


def test_show_tells_of_each_payment_and_is_found_by_its_transaction(invoices, add_order, store):
    invoice_id = add_order("order-1")
    made = Created(provider_ref="9a1c", pay_amount=Decimal("0.50"), pay_currency="BTC", network="Bitcoin")
    paid = CalledBack(status=Status.PAID, word="COMPLETED", tx_hash="cf2e", paid_amount=Decimal("0.500"))
    store.judge([Judgement(invoice_id, made), Judgement(invoice_id, paid)])

    (shown,) = invoices("show", "cf2e", "--json").lines
    assert shown["id"] == invoice_id
    (payment,) = shown["payments"]
    wanted = ("amount", "asset", "network", "transaction", "source", "settled_status")
    assert [payment[name] for name in wanted] == ["0.500", "BTC", "Bitcoin", "cf2e", "callback", "paid"]
    (told,) = [event for event in invoices("events", "order-1", "--json").lines if event["type"] == "invoice.paid"]
    assert payment["settled_event"] == told["id"]
    ran = invoices("show", "order-1")
    assert "0.500 BTC" in ran.out
    assert "cf2e" in ran.out


def test_show_says_why_a_paid_invoice_has_no_payment(invoices, add_order, store):
    invoice_id = add_order("order-1")
    with store.database.transaction() as connection:
        connection.execute(INVOICE.update().where(INVOICE.c.id == invoice_id).values(status="paid"))
    (shown,) = invoices("show", "order-1", "--json").lines
    assert (shown["payments"], shown["payments_note"]) == ([], "no payment is kept: it was paid before payments were")
    assert "it was paid before payments were" in invoices("show", "order-1").out


def test_show_of_something_unknown_is_one_line(invoices):
    ran = invoices("show", "nothing")
    assert ran.code == 1
    assert ran.err.startswith("invoices: there is no invoice or order 'nothing'")


def test_events_are_the_very_envelopes(invoices, add_order, store):
    invoice_id = add_order("order-1")
    store.judge([Judgement(invoice_id, CancelRequested(reason="sold out"))])

    (event,) = invoices("events", "order-1", "--json").lines
    assert (event["type"], event["subject"], event["sequence"]) == ("invoice.cancelled", invoice_id, "000000000001")
    assert invoices("events", "--json").lines == [event]
    assert "invoice.cancelled" in invoices("events").out
    assert invoices("events", "order-1", "--follow").code == 2


def test_watch_ends_after_its_seconds(invoices, add_order):
    add_order("order-1")
    assert "queued" in invoices("watch", "--seconds", "0").out
    assert invoices("watch", "--seconds", "0", "--json").out == ""


def test_rejected_messages_are_listed_with_their_reason(invoices, store):
    store.reject([Rejection("k1", "invoices.create", "price: must be greater than 0", '{"price":"0"}', True)])
    (line,) = invoices("rejected", "--json").lines
    assert (line["task"], line["reason"], line["complete"]) == (
        "invoices.create",
        "price: must be greater than 0",
        True,
    )
    assert line["excerpt"] == '{"price":"0"}'
    assert "must be greater than 0" in invoices("rejected").out
    assert invoices("rejected", "--count", "--json").lines == [{"rejected": 1}]


def test_what_is_empty_says_so_on_standard_error(invoices):
    for arguments in (["list"], ["events"], ["rejected"], ["endpoints", "list"], ["deliveries", "list"]):
        ran = invoices(*arguments)
        assert (ran.code, ran.out) == (0, ""), arguments
        assert len(ran.err.splitlines()) == 1, arguments


def test_the_schema_takes_what_the_model_takes(invoices):
    (schema,) = invoices("schema", "--json").lines
    jsonschema.Draft202012Validator.check_schema(schema)
    order = {"account": "a", "order_id": "1", "price": "12.50", "currency": "EUR", "metadata": {}}
    jsonschema.validate(order, schema)
    for bad in ({**order, "pric": 1}, {**order, "price": "x"}, {"account": "a"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
        with pytest.raises(OrderError):
            parse_order(bad)


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        ("create_many", {"orders": [{"account": "a", "order_id": "1"}]}, {"orders": []}),
        ("cancel", {"account": "a", "order_id": "1"}, {"account": "a"}),
    ],
)
def test_the_other_tasks_have_schemas_too(invoices, task, good, bad):
    (schema,) = invoices("schema", "--task", task, "--json").lines
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)


def test_doctor_names_what_is_wrong_and_what_to_do(fresh_invoices):
    ran = fresh_invoices("doctor", "--json")
    found = {line["check"]: line for line in ran.lines}
    assert ran.code == 1
    assert found["settings"]["state"] == "ok"
    assert found["database"]["state"] == "wrong"
    assert "invoices migrate" in found["database"]["detail"]
    assert found["broker"]["state"] == "wrong"


def test_doctor_stops_at_a_wrong_setting(fresh_invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_STREAM_MAXLEN", "none")
    ran = fresh_invoices("doctor", "--json")
    assert ran.code == 1
    (line,) = ran.lines
    assert "INVOICES_STREAM_MAXLEN" in line["detail"]
