"""Taking orders: validated alone, stored together, refused with a reason; against a store in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError

from domain.evidence import CancelRequested
from tests.unit.intake.intake_cases import SHOP, Checker, message, order
from workers.intake.cancellations import Interrupted, cancel_order
from workers.intake.desk import Desk
from workers.intake.orders import take_order, take_orders
from workers.store.intake import Rejection

AWAY = OperationalError("INSERT", {}, Exception("away"))


def reasons(store):
    return [rejection.reason for rejection in store.rejected.values()]


def test_a_good_order_is_stored_with_its_price_digit_for_digit(desk, store):
    take_order(desk, message(**order(price=Decimal("0.100000000000000055"), currency="ETH")))

    (stored,) = store.orders.values()
    assert str(stored.price) == "0.100000000000000055"
    assert store.rejected == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"account": "other"}, "account: there is no account 'other'"),
        ({"price": None}, "price: is required by nebulox"),
        ({"currency": None}, "currency: is required with a price"),
        ({"price": "19.999"}, "price: EUR takes at most 2 decimals (more by the account's price_decimals)"),
        ({"colour": "red"}, "colour: unknown field"),
        ({"order_id": "bug"}, "internal error: ZeroDivisionError"),
        ({"fallback_accounts": ["other"]}, "fallback_accounts.0: there is no account 'other'"),
    ],
)
def test_an_order_that_can_not_be_taken_is_listed_with_the_reason(desk, store, fields, reason):
    take_order(desk, message(**order(**fields)))

    (rejection,) = store.rejected.values()
    assert (rejection.reason, rejection.task, rejection.message_key) == (reason, "invoices.create", "key-1")
    assert rejection.complete
    assert store.orders == {}


def test_an_account_may_widen_what_its_currencies_have(store):
    wide = Desk(store, {"shop": SHOP.model_copy(update={"price_decimals": 3})}, {"nebulox": Checker()})
    take_order(wide, message(**order(price="19.999")))
    take_order(wide, message(key="key-2", **order(order_id="A-2", price="19.9999")))

    assert [str(stored.price) for stored in store.orders.values()] == ["19.999"]
    assert reasons(store) == ["price: EUR takes at most 3 decimals (more by the account's price_decimals)"]


def test_a_repeat_is_a_no_op_and_a_conflicting_repeat_is_listed(desk, store):
    take_order(desk, message(**order()))
    take_order(desk, message(key="key-2", **order()))
    take_order(desk, message(key="key-3", **order(price=5)))

    assert len(store.orders) == 1
    assert list(store.rejected) == ["key-3"]
    assert reasons(store) == ["idempotency_key: used before with other content"]


@pytest.mark.parametrize(("own", "counts"), [(None, 12), ("2026-11-21T11:00:00Z", 11), ("2026-11-21T13:00:00Z", 12)])
def test_the_earlier_of_expires_and_create_before_counts(desk, store, own, counts):
    take_order(desk, message(expires=datetime(2026, 11, 21, 12, tzinfo=UTC), **order(create_before=own)))

    (stored,) = store.orders.values()
    assert stored.create_before == datetime(2026, 11, 21, counts, tzinfo=UTC)


def test_of_many_the_good_ones_are_stored_together_and_the_bad_ones_refused_alone(desk, store):
    orders = [order(), order(order_id="A-2", price="x"), "text", order(order_id="bug"), order(order_id="A-3")]
    take_orders(desk, message("create_many", orders=orders))

    assert [o.order_id for o in store.orders.values()] == ["A-1", "A-3"]
    assert store.batches == [2]
    assert reasons(store) == [
        "price: is not a decimal number",
        "order: must be an object, not a string",
        "internal error: ZeroDivisionError",
    ]
    assert {rejection.task for rejection in store.rejected.values()} == {"invoices.create"}
    assert next(iter(store.rejected.values())).excerpt == (
        '{"account":"shop","order_id":"A-2","price":"x","currency":"EUR"}'
    )


@pytest.mark.parametrize("fields", [{}, {"orders": []}, {"orders": [1] * 501}, {"orders": [1], "x": 1}, {"orders": 5}])
def test_a_create_many_that_is_no_list_of_orders_is_refused_as_a_whole(desk, store, fields):
    take_orders(desk, message("create_many", **fields))

    (rejection,) = store.rejected.values()
    assert rejection.reason.startswith("orders: ")
    assert rejection.task == "invoices.create_many"


def test_a_redelivered_create_many_lists_each_bad_order_once(desk, store):
    for _ in range(2):
        take_orders(desk, message("create_many", orders=[order(price="x"), order(price="y")]))

    assert len(store.rejected) == 2


def test_one_order_that_breaks_the_store_does_not_take_the_others_with_it(desk, store):
    store.faults = [ValueError("batch"), None, ValueError("second alone"), None]
    take_orders(desk, message("create_many", orders=[order(order_id=f"A-{n}") for n in (1, 2, 3)]))

    assert [o.order_id for o in store.orders.values()] == ["A-1", "A-3"]
    assert reasons(store) == ["internal error: ValueError"]


def test_an_order_that_breaks_the_store_does_not_take_what_was_turned_away_with_it(desk, store):
    store.faults = [ValueError("all together"), ValueError("alone")]
    refused = Rejection("key", None, "body: is not JSON", "{", False)
    take_order(desk, message(**order()), refused)

    assert store.orders == {}
    assert reasons(store) == ["body: is not JSON", "internal error: ValueError"]


def test_an_order_that_always_takes_too_long_holds_up_none_of_those_that_came_with_it(desk, store):
    slow = OperationalError("INSERT", {}, QueryCanceled("canceling statement due to statement timeout"))
    store.faults = [slow, None, slow]  # together; then each alone, the second being the one
    with pytest.raises(OperationalError):
        take_order(desk, *[message(**order(order_id=f"A-{n}"), key=f"k{n}") for n in (1, 2, 3)])
    assert store.batches == [3, 1, 1, 1]
    assert [o.order_id for o in store.orders.values()] == ["A-1", "A-3"]


def test_a_database_that_is_away_is_the_caller_s_to_wait_for(desk, store):
    store.faults = [AWAY]
    with pytest.raises(OperationalError):
        take_order(desk, message(**order()))

    assert store.rejected == {}


def test_a_cancellation_reaches_the_invoice(desk, store):
    take_order(desk, message(**order()))
    cancel_order(desk, message("cancel", account="shop", order_id="A-1", reason="changed my mind"), lambda _: False)

    assert store.cancelled == [("inv_A-1", CancelRequested(reason="changed my mind"))]
    assert store.rejected == {}


def test_a_cancellation_waits_for_the_create_that_it_overtook(desk, store):
    def neighbour(seconds):
        take_order(desk, message(**order()))
        return False

    cancel_order(desk, message("cancel", account="shop", order_id="A-1"), neighbour)

    assert len(store.cancelled) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"order_id": "A-9"}, "order_id 'A-9' of account 'shop': there is no such invoice"),
        ({}, "order_id: give order_id or idempotency_key"),
        ({"account": "other", "order_id": "A"}, "account: there is no account 'other'"),
    ],
)
def test_a_cancellation_of_nothing_is_listed(desk, store, fields, reason):
    waits: list[float] = []

    def wait(seconds):
        waits.append(seconds)
        return False

    cancel_order(desk, message("cancel", **({"account": "shop"} | fields)), wait)

    assert reasons(store) == [reason]
    assert sum(waits) <= 2.2


def test_a_cancellation_of_a_closed_invoice_names_its_status(desk, store):
    take_order(desk, message(**order()))
    store.verdict, store.status = "contradiction", "paid"
    cancel_order(desk, message("cancel", account="shop", order_id="A-1"), lambda _: False)

    assert reasons(store) == ["order_id 'A-1': the invoice inv_A-1 is already paid"]


def test_cancelling_twice_is_a_no_op(desk, store):
    take_order(desk, message(**order()))
    store.verdict, store.status = "ignored", "cancelled"
    cancel_order(desk, message("cancel", account="shop", order_id="A-1"), lambda _: False)

    assert store.rejected == {}


def test_a_worker_that_stops_while_a_cancellation_waits_gives_it_back(desk, store):
    with pytest.raises(Interrupted):
        cancel_order(desk, message("cancel", account="shop", order_id="A-1"), lambda _: True)

    assert store.rejected == {}
