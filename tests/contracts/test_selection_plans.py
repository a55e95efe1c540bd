"""Whatever a list of invoices is filtered by, a page of it costs the same with a million of them: walked by an index,
no further than the depth of a page."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text

from tests.contracts.plan_cases import copy_invoice, explained
from tests.contracts.store_cases import ACCOUNT, open_store, pend, subscribe
from workers.store.reads.invoices import page_of_invoices
from workers.store.reads.outlooks import read_outlooks
from workers.store.reads.search import search
from workers.store.reads.selection import DEPTHS, Selection, choose, read_page

LOOKED_AT = ("invoice", "evidence", "event", "delivery", "delivery_attempt", "agenda", "callback", "payment")


@pytest.fixture
def many(crowded):
    """Some invoices on their way, and very many that have ended."""
    store = open_store(crowded)
    subscribe(crowded)
    ids = pend(store, 60)
    copy_invoice(crowded, ids[0], 100_000 if crowded.is_postgresql else 30_000)
    return crowded


def scanned(plan):
    """Tables that are read from end to end; a walk along an index has an end of its own."""
    tables = "|".join(LOOKED_AT)
    return re.findall(rf"^.*(?:Seq Scan on|\bSCAN) (?:{tables})\b(?!.*USING).*$", plan, re.MULTILINE)


EARLY = timedelta(days=400)
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "pkey|autoindex_invoice_1"),
    ({"statuses": ("cancelled",)}, "ix_invoice_status"),
    ({"statuses": ("failed", "cancelled", "refunded")}, "ix_invoice_status"),
    ({"accounts": frozenset({"nobody"})}, "pkey|autoindex_invoice_1"),
    ({"accounts": frozenset({"nobody"}), "statuses": ("paid", "expired")}, "ix_invoice_status"),
    ({"assets": ("DOGE",)}, "pkey|autoindex_invoice_1"),
    ({"assets": ("DOGE",), "statuses": ("paid",)}, "ix_invoice_status"),
    ({"anomalies": ("underpaid",)}, "ix_invoice_anomaly"),
    ({"anomalies": ("late",), "statuses": ("cancelled",), "accounts": frozenset({ACCOUNT})}, "ix_invoice_anomaly"),
    ({"name": "order-000000000007"}, "ix_invoice_order"),
    ({"name": "order-000000000007", "statuses": ("paid",), "accounts": frozenset({ACCOUNT})}, "ix_invoice_order"),
    ({"needs_person": True}, "ix_invoice_status"),
]


def test_a_page_of_a_filter_is_walked_by_index(many):
    now = many.time()
    periods: list[dict[str, Any]] = [{}, {"since": now - EARLY, "until": now + EARLY}]
    for (given, index), times in product(FILTERS, periods):
        chosen = Selection(**given, **times)

        plan = explained(many, partial(many.read, read_page, chosen, limit=50), r"(SELECT|WITH)")

        assert not scanned(plan), (given, plan)
        assert re.search(index, plan), (given, plan)
        assert "Sort Key: invoice.id" not in plan, (given, plan)  # none is sorted that an index has in its order


@pytest.mark.parametrize("before", [None, "inv_000000001000"])
def test_a_page_over_http_of_a_status_is_walked_in_that_status_however_common_it_is(many, before):
    """Walking all ids, the planner would find it soon if the newest were as the others are; but those are open."""
    if many.is_postgresql:
        with many.transaction() as connection:
            connection.execute(text("ANALYZE invoice"))  # so that it knows how common each status is
    for status, index in ((None, "pkey|autoindex_invoice_1"), ("paid", "ix_invoice_status")):
        page = partial(many.read, page_of_invoices, status=status, before=before, limit=50)
        plan = explained(many, page, r"SELECT")
        assert not scanned(plan), plan
        assert re.search(index, plan), plan
        assert "Sort Key" not in plan, plan
        rows = page()
        assert len(rows) == 50
        assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
        assert {row.status for row in rows} <= {status or row.status for row in rows}
        assert all(row.id < (before or "inv_g") for row in rows)


def test_what_is_rare_is_compared_no_further_than_the_depth_of_a_page(many):
    chosen = many.read(choose, Selection(accounts=frozenset({"nobody"})), limit=50)

    assert chosen.ids == []
    assert chosen.looked_to is not None
    with many.reading() as connection:
        passed = connection.execute(
            text("SELECT count(*) FROM invoice WHERE id >= :low"), {"low": chosen.looked_to}
        ).scalar_one()
    assert passed == sum(DEPTHS)


def test_an_old_row_of_a_rare_status_is_found_at_once(many):
    page = many.read(read_page, Selection(statuses=("cancelled",)), limit=50)

    assert len(page.rows) == page.found == 10
    assert page.looked_to is None


def test_what_comes_next_for_a_page_is_read_by_index_in_a_bounded_number_of_statements(many):
    page = many.read(read_page, Selection(statuses=("pending",)), limit=50)

    plan = explained(many, lambda: many.read(read_outlooks, many, page.rows), r"(SELECT|WITH)")

    assert not [line for line in scanned(plan) if "endpoint" not in line], plan
    assert "ix_delivery_next" in plan
    assert len(page.rows) == 50


@pytest.mark.parametrize("name", ["inv_0", "order-000000000007", "evt_0", "ref-000000000007", "0xabc"])
def test_a_name_is_looked_for_by_index(many, name):
    plan = explained(many, lambda: many.read(search, name, accounts=frozenset({ACCOUNT})), r"(SELECT|WITH)")

    assert not scanned(plan), plan
