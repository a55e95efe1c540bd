"""What people ask the database, and what they change by hand: the same answers from both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, insert, select

from domain.event import invoice_fields, new_id
from domain.exact_json import write_json
from tests.contracts.store_cases import OPERATOR, enable_endpoint, open_store, remove_endpoint
from workers.store import endpoints, queries
from workers.store.operate.redrive import unpark
from workers.store.reads.events import Wanted, list_events
from workers.store.tables import AGENDA, ATTEMPT, DELIVERY, ENDPOINT, EVENT, INVOICE, REJECTED
from workers.store.tail import GAP_SECONDS, EventTail

NOW = datetime(2026, 11, 21, 20, 19, 0, 123456, tzinfo=UTC)


def add_invoice(database, order_id="1001", **fields):
    values = {
        "id": new_id("inv"),
        "account": "nebulox",
        "provider_account": "nebulox",
        "provider": "nebulox",
        "order_id": order_id,
        "idempotency_key": new_id("key"),
        "digest": "d",
        "status": "pending",
        "sequence": 0,
        "first_open": 0,
        "params": "{}",
        "metadata_json": '{"a":1.10}',
        "created_at": NOW,
        "updated_at": NOW,
        "create_tries": 0,
        "doubts": 0,
        "quiet_polls": 0,
    } | fields
    with database.transaction() as connection:
        connection.execute(insert(INVOICE).values(**values))
    return values["id"]


def add_event(database, invoice_id, sequence, **fields):
    values = {
        "id": new_id("evt"),
        "invoice_id": invoice_id,
        "sequence": sequence,
        "type": "invoice.pending",
        "body": b"{}",
        "created_at": NOW,
    } | fields
    with database.transaction() as connection:
        inserted = connection.execute(insert(EVENT).values(**values).returning(EVENT.c.number))
        return inserted.scalar_one()


def add_delivery(database, endpoint_id, invoice_id, event_number, **fields):
    values = {
        "endpoint_id": endpoint_id,
        "event_number": event_number,
        "invoice_id": invoice_id,
        "sequence": 1,
        "state": "due",
        "tries": 0,
        "created_at": NOW,
    } | fields
    with database.transaction() as connection:
        inserted = connection.execute(insert(DELIVERY).values(**values).returning(DELIVERY.c.id))
        return inserted.scalar_one()


def add_agenda(database, stage, subject, lane, due_at, **fields):
    values = {"stage": stage, "subject": subject, "lane": lane, "due_at": due_at, "claims": 0, "pokes": 0} | fields
    with database.transaction() as connection:
        connection.execute(insert(AGENDA).values(**values))


def add_endpoint(database, **fields):
    endpoint_id = new_id("ep")
    with database.transaction() as connection:
        given = {"url": "https://shop.example/hook", "sealed_secret": "sealed"} | fields
        endpoints.add_endpoint(connection, endpoint_id, endpoints.NewEndpoint(**given), NOW)
    return endpoint_id


def read(database, query, *arguments):
    with database.reading() as connection:
        return query(connection, *arguments)


def test_invoices_are_listed_newest_first_and_filtered(database):
    first = add_invoice(database)
    second = add_invoice(database, status="paid")
    third = add_invoice(database, account="zeroxhost", created_at=NOW + timedelta(hours=1))
    fourth = add_invoice(database, status="paid", anomaly="late", pay_currency="ETH")

    def listed(limit=50, **wanted):
        return [row.id for row in queries.list_invoices(database, queries.Wanted(**wanted), limit=limit)]

    assert listed() == [fourth, third, second, first]
    assert listed(limit=2) == [fourth, third]
    assert listed(statuses=["paid"]) == [fourth, second]
    assert listed(anomalies=["late", "overpaid"]) == [fourth]
    assert listed(assets=["ETH"], statuses=["paid"]) == [fourth]
    assert listed(accounts=["zeroxhost"]) == [third]
    assert listed(statuses=["paid"], accounts=["zeroxhost"]) == []
    assert listed(since=datetime.now(UTC) + timedelta(days=3650)) == []
    assert listed(since=NOW + timedelta(minutes=1)) == [third]


def test_a_listing_without_limit_goes_through_all_pages(database, monkeypatch):
    monkeypatch.setattr(queries, "PAGE_ROWS", 3)
    made = [add_invoice(database) for _ in range(8)]

    assert [row.id for row in queries.list_invoices(database, queries.Wanted(), limit=0)] == made[::-1]
    assert [row.id for row in queries.list_invoices(database, queries.Wanted(), limit=7)] == made[:0:-1]


def test_an_invoice_is_found_by_its_id_or_its_newest_order(database):
    older = add_invoice(database, "77")
    newer = add_invoice(database, "77")

    assert read(database, queries.find_invoice, older).id == older
    assert read(database, queries.find_invoice, "77").id == newer
    assert read(database, queries.find_invoice, "78") is None


def test_an_invoice_is_shown_with_every_digit_and_its_metadata_as_it_came(database):
    given = Decimal("0.0358619200")
    name = add_invoice(database, pay_amount=given, expires_at=NOW, lifetime_minutes=Decimal("0.50"))

    shown = write_json(invoice_fields(read(database, queries.find_invoice, name)))

    assert '"pay_amount":"0.0358619200"' in shown
    assert '"metadata":{"a":1.10}' in shown
    assert '"expires_at":"2026-11-21T20:19:00.123Z"' in shown
    assert '"lifetime_minutes":0.50' in shown


def test_counts_and_the_newest_changes(database):
    first, second, third = (add_invoice(database) for _ in range(3))
    add_invoice(database, status="paid")
    for invoice, sequence in ((first, 1), (second, 1), (first, 2)):
        add_event(database, invoice, sequence)

    assert read(database, queries.count_by_status) == {"pending": 3, "paid": 1}
    assert [row.id for row in read(database, queries.changed_invoices, 10)] == [first, second]
    assert [row.id for row in read(database, queries.changed_invoices, 1)] == [first]
    assert [row.sequence for row in read(database, queries.events_of, first)] == [1, 2]
    assert [row.sequence for row in list_events(database, Wanted(), limit=1)] == [2]
    assert third not in {row.invoice_id for row in list_events(database, Wanted())}


def test_the_tail_tells_each_event_once_even_one_that_commits_late(database):
    moment = [0.0]
    tail = EventTail(clock=lambda: moment[0])
    invoice = add_invoice(database)
    before = add_event(database, invoice, 1)
    read(database, tail.start)

    def told():
        return [row.number - before for row in read(database, tail.poll)]

    assert told() == []
    for sequence, number in ((2, 1), (4, 3)):
        add_event(database, invoice, sequence, number=before + number)
    assert told() == [1, 3]
    add_event(database, invoice, 3, number=before + 2)
    assert told() == [2]
    add_event(database, invoice, 6, number=before + 6)
    assert told() == [6]
    moment[0] += GAP_SECONDS + 1
    assert told() == []
    add_event(database, invoice, 7, number=before + 7)
    assert told() == [7]
    assert told() == []


def test_deliveries_come_with_their_attempts_and_wait_for_a_disabled_endpoint(database):
    endpoint, other = add_endpoint(database), add_endpoint(database)
    invoice = add_invoice(database)
    number = add_event(database, invoice, 1)
    first = add_delivery(database, endpoint, invoice, number)
    second = add_delivery(database, other, invoice, number, state="delivered")
    with database.transaction() as connection:
        for outcome in ("failed", "delivered"):
            attempt = {"delivery_id": second, "at": NOW, "outcome": outcome, "latency_ms": 5}
            connection.execute(insert(ATTEMPT).values(**attempt))

    def listed(**given):
        return [(row.id, row.shown_state, [a.outcome for a in tries])
                for row, tries in queries.list_deliveries(database, **given)]  # fmt: skip

    assert listed() == [(second, "delivered", ["failed", "delivered"]), (first, "due", [])]
    assert listed(endpoint=endpoint) == [(first, "due", [])]
    assert listed(invoice="inv_none") == []
    assert listed(state="due", limit=0) == [(first, "due", [])]
    with database.transaction() as connection:
        endpoints.disable_endpoint(connection, endpoint, "410", NOW)
    assert listed(state="due") == []
    assert listed(state="parked") == [(first, "parked", [])]


def test_rejected_messages_are_listed_counted_and_picked(database):
    with database.transaction() as connection:
        for key in ("a", "b"):
            message = {"message_key": key, "at": NOW, "reason": "not JSON", "excerpt": "{", "complete": True}
            connection.execute(insert(REJECTED).values(**message))
    newest, oldest = queries.list_rejected(database, limit=0)

    assert (newest.message_key, oldest.message_key) == ("b", "a")
    assert read(database, queries.count_rejected) == 2
    assert [row.message_key for row in read(database, queries.rejected_by_id, [oldest.id, 999])] == ["a"]


def test_parked_rows_fall_due_again_and_stay_marked_as_lost(database):
    add_agenda(database, "create", "inv_1", "nebulox", None, claims=6)
    add_agenda(database, "deliver", "ep_1/inv_1", "ep_1", None)
    later = NOW + timedelta(hours=1)
    add_agenda(database, "check", "inv_1", "nebulox", later, lease_token="t", claims=1)
    began = database.time()
    assert unpark(open_store(database), OPERATOR) == 2

    rows = read(database, lambda connection: connection.execute(select(AGENDA)).all())
    told = {row.stage: (row.due_at, row.claims) for row in rows}
    assert told["check"] == (later, 1)
    assert [told[stage][1] for stage in ("create", "deliver")] == [1, 0]
    assert all(began <= told[stage][0] <= database.time() for stage in ("create", "deliver"))


def test_an_endpoint_keeps_its_filter_headers_and_sealed_secret(database):
    all_of_them = add_endpoint(database)
    some = add_endpoint(
        database,
        events=["invoice.paid", "invoice.expired"],
        sealed_headers='{"X-Shop": "sealed 7"}',
        sealed_secret="s1",
    )

    listed = {endpoint.id: endpoint for endpoint in read(database, endpoints.list_endpoints)}

    assert listed[all_of_them].wants("invoice.failed")
    assert listed[some].wants("invoice.paid")
    assert not listed[some].wants("invoice.failed")
    assert listed[some].header_names == ["X-Shop"]
    assert "sealed 7" not in repr(listed[some])
    assert listed[some].sealed_secrets == ("s1",)
    assert "s1" not in repr(listed[some])
    assert read(database, endpoints.find_endpoint, some) == listed[some]
    assert read(database, endpoints.find_endpoint, "ep_none") is None


def test_an_unknown_event_type_is_refused_by_name(database):
    with pytest.raises(ValueError, match=r"^events: there is no invoice\.payed"):
        add_endpoint(database, events=["invoice.payed"])


def test_disabling_keeps_the_first_reason(database):
    endpoint = add_endpoint(database)
    with database.transaction() as connection:
        endpoints.disable_endpoint(connection, endpoint, "answered 410", NOW)
        endpoints.disable_endpoint(connection, endpoint, "by hand", NOW + timedelta(days=1))
        assert not endpoints.disable_endpoint(connection, "ep_none", "by hand", NOW)
    found = read(database, endpoints.find_endpoint, endpoint)
    assert (found.disabled_at, found.disabled_reason) == (NOW, "answered 410")
    assert enable_endpoint(database, endpoint) == 0
    assert enable_endpoint(database, "ep_none") is None
    assert read(database, endpoints.find_endpoint, endpoint).disabled_at is None


def test_removing_an_endpoint_removes_what_was_meant_for_it_and_nothing_else(database, monkeypatch):
    monkeypatch.setattr(endpoints, "REMOVAL_BATCH", 2)
    removed, kept = add_endpoint(database), add_endpoint(database)
    invoice = add_invoice(database)
    for sequence in range(1, 6):
        number = add_event(database, invoice, sequence)
        for endpoint in (removed, kept):
            delivery = add_delivery(database, endpoint, invoice, number)
            with database.transaction() as connection:
                attempt = {"delivery_id": delivery, "at": NOW, "outcome": "failed", "latency_ms": 5}
                connection.execute(insert(ATTEMPT).values(**attempt))
    for endpoint in (removed, kept):
        add_agenda(database, "deliver", f"{endpoint}/{invoice}", endpoint, NOW)

    assert remove_endpoint(database, removed) == 5
    assert remove_endpoint(database, removed) is None
    tables = (DELIVERY, ATTEMPT, AGENDA, ENDPOINT)
    counts = [
        read(database, lambda c, t=table: c.execute(select(func.count()).select_from(t)).scalar_one())
        for table in tables
    ]
    assert counts == [5, 5, 1, 1]
