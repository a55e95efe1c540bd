"""A refused order that came by message is told to its shop: whose it was, why, and nothing else of the message."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import structlog

from domain.exact_json import write_json
from domain.refused_order import RefusedOrder, read_refused
from tests.unit.intake.intake_cases import message, order
from workers.intake.message import CREATE, TurnedAway, inspect
from workers.intake.orders import take_order, take_orders
from workers.intake.telling import BURST, NO_ACCOUNT, REMIND_SECONDS, Telling

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def told(store):
    return [rejection.order for rejection in store.rejected.values()]


def test_an_order_that_can_not_be_used_is_invalid(desk, store):
    take_order(desk, message(**order(price="-1", idempotency_key="K-1")))

    assert told(store) == [RefusedOrder("shop", "A-1", "K-1", "invalid")]


def test_an_order_against_another_invoice_is_a_conflict_that_names_it(desk, store):
    take_order(desk, message(**order()))
    take_order(desk, message(key="key-2", **order(price="1.00")))

    assert told(store) == [RefusedOrder("shop", "A-1", "A-1", "conflict", "inv_1")]


def test_each_bad_order_of_a_list_is_told_by_itself(desk, store):
    bad = [order(order_id=name, price=None) for name in ("A", "B")]

    take_orders(desk, message("create_many", orders=[*bad, order(order_id="C")]))

    assert [one.order_id for one in told(store)] == ["A", "B"]


@pytest.mark.parametrize("fields", [{"order_id": "A-1"}, order(account=["shop"]), order(order_id="bug")])
def test_no_shop_is_told_of_what_names_no_account_or_of_a_bug_of_ours(desk, store, fields):
    take_order(desk, message(**fields))

    assert told(store) == [None]


def test_an_order_for_an_account_that_there_is_not_is_told_too_and_all_such_have_one_bound(desk, store):
    asked = []

    def may_tell(account):
        asked.append(account)
        return True

    desk = replace(desk, may_tell=may_tell)
    take_order(desk, message(**order(account="nobody's")))
    take_order(desk, message(key="key-2", **order(account="nobody else's")))

    assert told(store) == [RefusedOrder(name, "A-1", "A-1", "invalid") for name in ("nobody's", "nobody else's")]
    assert asked == [NO_ACCOUNT, NO_ACCOUNT]


@pytest.mark.parametrize("order_id", [None, 7, "", "x" * 129, "a\nb", "\x9b31m", ["A"]])
def test_what_is_no_order_id_is_not_told(order_id):
    assert read_refused({"account": "shop", "order_id": order_id}) == RefusedOrder("shop", None, None)


@pytest.mark.parametrize("fields", [None, [], "shop", 1])
def test_what_is_no_object_is_no_order(fields):
    assert read_refused(fields) is None


def test_an_order_that_was_turned_away_before_it_was_read_is_told_too():
    """However long it is: what the list keeps of it ends at 2 KiB."""
    fields = order(price="9.90", metadata={"note": "x" * 3000})
    body = write_json([[], fields, {}]).encode()
    headers = {"task": CREATE, "id": "1", "eta": "2027-01-01T00:00:00Z"}

    refused = inspect(headers, {}, body, "application/json", "utf-8", now=NOW)

    assert isinstance(refused, TurnedAway)
    assert refused.arguments[-1] == ["shop", "A-1", "A-1"]
    assert not refused.complete


def test_the_event_holds_the_ids_and_the_reason_and_nothing_else_of_the_message():
    refused = RefusedOrder("shop", "A-1", "K-1", "conflict", "inv_9")

    event = json.loads(refused.told("evt_1", "idempotency_key: was used", NOW))

    assert event["data"] == {
        "account": "shop",
        "order_id": "A-1",
        "idempotency_key": "K-1",
        "kind": "conflict",
        "reason": "idempotency_key: was used",
        "existing_invoice": "inv_9",
    }
    assert (event["id"], event["type"], event["subject"]) == ("evt_1", "order.rejected", "shop/K-1")
    assert event["source"] == "/invoices/shop"
    assert "sequence" not in event


def test_the_source_of_an_event_is_a_uri_whatever_the_account_is_called():
    event = json.loads(RefusedOrder("no body's/é", "A-1", "A-1").told("evt_1", "account: there is none", NOW))

    assert event["source"] == "/invoices/no%20body%27s%2F%C3%A9"
    assert (event["subject"], event["data"]["account"]) == ("no body's/é/A-1", "no body's/é")


def test_a_flood_is_told_up_to_a_bound_each_account_by_itself_and_the_log_says_how_many_were_not():
    clock = [0.0]
    telling = Telling(lambda: clock[0])

    with structlog.testing.capture_logs() as logs:
        allowed = [telling.may_tell("wild") for _ in range(BURST + 50)]
        assert telling.may_tell("calm")
        clock[0] += REMIND_SECONDS
        later = [telling.may_tell("wild") for _ in range(BURST)]

    assert sum(allowed) == BURST
    assert sum(later) == REMIND_SECONDS * 10
    assert [line["orders"] for line in logs] == [1, 50]
    assert {line["account"] for line in logs} == {"wild"}
