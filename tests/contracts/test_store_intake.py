"""Orders in: once per key, once open per order, whatever comes at the same time; and messages rejected."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from domain.evidence import CancelRequested
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    Background,
    agenda_of,
    in_threads,
    invoice_of,
    judge,
    open_store,
    order,
    pend,
    rows,
    seen,
    take,
    utc,
    wait_until_blocked,
)
from workers.store import intake
from workers.store.database import UNAVAILABLE
from workers.store.intake import EXCERPT_CHARACTERS, Rejection
from workers.store.tables import AGENDA, INVOICE, REJECTED


def add(store, *orders):
    return store.add_orders([(given, given.account) for given in orders])


def outcomes(added):
    return [result.outcome for result in added]


def rejection(key="k", *, task="invoices.create", reason="price: missing", excerpt="{}"):
    return Rejection(key, task, reason, excerpt, complete=True)


def test_an_order_becomes_a_queued_invoice_with_its_create_due_at_once(database):
    rung: list[Any] = []
    store = open_store(database, rung)
    before = store.now()
    (added,) = add(store, order("1001", metadata={"cart": [1, "ü\x00"]}, params={"user_id": "7"}))
    row = invoice_of(database, added.invoice_id)
    assert (added.outcome, added.order_id, added.reason) == ("accepted", "1001", None)
    assert (row.status, row.account, row.provider_account, row.order_id) == ("queued", ACCOUNT, ACCOUNT, "1001")
    assert (row.sequence, row.first_open, row.metadata_json) == (0, 1, '{"cart":[1,"ü\\u0000"]}')
    planned = agenda_of(database, added.invoice_id)
    assert set(planned) == {"create"}
    assert (planned["create"].lane, planned["create"].claims) == (ACCOUNT, 0)
    assert before <= planned["create"].due_at == row.created_at <= store.now()
    assert rung == [("create", ACCOUNT)]


def test_the_latest_time_to_create_is_the_clocks_from_the_start(database):
    store = open_store(database)
    (invoice_id,) = take(store, order(create_before="2030-01-01T00:00:00.123456Z"))
    clock = agenda_of(database, invoice_id)["clock"]
    assert (clock.lane, clock.due_at) == ("clock", utc(2030, 1, 1, 0, 0, 0, 123456))


def test_a_repeat_with_the_same_content_is_the_same_invoice(database):
    rung: list[Any] = []
    store = open_store(database, rung)
    (first,) = take(store, order(price="10.50"))
    rung.clear()
    again = add(store, order(price="10.5", create_before="2030-01-01T00:00:00Z"))
    assert [(one.outcome, one.invoice_id) for one in again] == [("repeated", first)]
    assert len(rows(database, INVOICE)) == 1
    assert rung == []


def test_a_repeat_with_other_content_is_refused_and_changes_nothing(database):
    store = open_store(database)
    (first,) = take(store, order(price="10.50"))
    (refused,) = add(store, order(price="10.51"))
    assert refused.outcome == "refused"
    assert refused.invoice_id == first
    assert refused.reason == f"idempotency_key: '1001' was used by invoice {first} with other content"
    assert str(invoice_of(database, first).price) == "10.50"


def test_one_list_may_name_an_order_twice(database):
    store = open_store(database)
    given = [order("b"), order("a"), order("b"), order("b", price="11"), order("a")]
    added = add(store, *given)
    assert outcomes(added) == ["accepted", "accepted", "repeated", "refused", "repeated"]
    assert added[2].invoice_id == added[0].invoice_id
    assert added[4].invoice_id == added[1].invoice_id
    assert len(rows(database, INVOICE)) == 2
    assert len(rows(database, AGENDA)) == 2


def test_keys_are_an_accounts_own(database):
    store = open_store(database)
    assert outcomes(add(store, order("1"), order("1", account=SILENT_ACCOUNT))) == ["accepted", "accepted"]


def test_a_second_open_invoice_of_an_order_is_refused_until_the_first_is_closed(database):
    store = open_store(database)
    (first,) = take(store, order("1", idempotency_key="a"))
    (refused,) = add(store, order("1", idempotency_key="b"))
    assert (refused.outcome, refused.reason) == ("refused", f"order_id: invoice {first} of this order is still open")
    judge(store, first, CancelRequested(reason="changed my mind"))
    (second,) = take(store, order("1", idempotency_key="b"))
    assert store.find(ACCOUNT, order_id="1") == second
    assert outcomes(add(store, order("1", idempotency_key="a"))) == ["repeated"]


def test_an_invoice_paid_late_does_not_collide_with_its_orders_next_one(database):
    store = open_store(database)
    (first,) = pend(store)
    named = invoice_of(database, first).order_id
    judge(store, first, seen("expired"))
    (second,) = take(store, order(named, idempotency_key="again"))
    assert judge(store, first, seen("confirming")).status == "confirming"
    assert invoice_of(database, second).status == "queued"
    assert outcomes(add(store, order(named, idempotency_key="third"))) == ["refused"]


def test_the_newest_invoice_is_found_by_order_and_by_key(database):
    store = open_store(database)
    (first,) = take(store, order("1", idempotency_key="a"))
    judge(store, first, CancelRequested(reason="x"))
    (second,) = take(store, order("1", idempotency_key="b"))
    assert store.find(ACCOUNT, order_id="1") == second
    assert store.find(ACCOUNT, idempotency_key="a") == first
    assert store.find(ACCOUNT, order_id="1", idempotency_key="a") == first
    assert store.find(ACCOUNT, order_id="2") is None
    assert store.find(SILENT_ACCOUNT, order_id="1") is None


def test_writers_of_the_same_keys_in_any_order_agree_on_one_invoice_each(database):
    keys = [f"order-{number}" for number in range(60)]

    def writer(seed):
        mine = random.Random(seed).sample(keys, len(keys))
        return lambda: add(open_store(database), *(order(key) for key in mine))

    results = in_threads(*(writer(seed) for seed in range(6)))
    by_order: dict[str, list[Any]] = {}
    for result in (one for added in results for one in added):
        by_order.setdefault(result.order_id, []).append(result)
    assert len(by_order) == len(keys)
    for of_one in by_order.values():
        assert sorted(outcomes(of_one)) == ["accepted"] + ["repeated"] * 5
        assert len({result.invoice_id for result in of_one}) == 1
    assert len(rows(database, INVOICE)) == len(rows(database, AGENDA)) == len(keys)


def test_lists_in_opposite_order_that_meet_in_the_middle_lock_nobody_out(database):
    """Somebody holds the middle one, so that both lists are surely half written when they go on."""
    keys = ["a", "m", "z"]
    with database.transaction() as connection:
        intake.add_orders(connection, database.now(connection), [(order("m"), ACCOUNT)])
        writers = [Background(partial(add, open_store(database), *map(order, given))) for given in (keys, keys[::-1])]
        wait_until_blocked(database, sessions=2)
    first, second = (writer.result() for writer in writers)
    assert sorted(outcomes(first) + outcomes(second)) == ["accepted"] * 2 + ["repeated"] * 4


def test_writers_whose_keys_and_orders_cross_all_get_their_answer(database):
    """Two unique indexes can't both be met in order: what PostgreSQL takes back, the intake sends again."""

    def writer(*pairs):
        def write():
            while True:
                try:
                    return add(open_store(database), *(order(number, idempotency_key=key) for key, number in pairs))
                except UNAVAILABLE:  # a deadlock that was resolved: nothing of this list was written
                    continue

        return write

    for turn in range(10):
        one, other = f"x{turn}", f"y{turn}"
        results = in_threads(
            writer((f"a{turn}", one), (f"b{turn}", other)), writer((f"c{turn}", other), (f"d{turn}", one))
        )
        assert sorted(outcomes(results[0] + results[1])) == ["accepted", "accepted", "refused", "refused"]


def test_a_full_list_of_orders_is_one_transaction(database):
    store = open_store(database)
    added = add(store, *(order(f"{number:04}") for number in range(500)))
    assert outcomes(added) == ["accepted"] * 500
    assert len({result.invoice_id for result in added}) == 500
    with database.reading() as connection:
        assert connection.execute(select(func.count(func.distinct(INVOICE.c.created_at)))).scalar_one() == 1


def test_a_message_turned_away_is_listed_once(database):
    store = open_store(database)
    store.reject([rejection("b"), rejection("a"), rejection("b", reason="again")])
    store.reject([rejection("a", reason="again"), rejection("c")])
    kept = {row.message_key: row.reason for row in rows(database, REJECTED)}
    assert kept == {"a": "price: missing", "b": "price: missing", "c": "price: missing"}
    store.reject([])


def test_orders_and_what_was_turned_away_with_them_are_one_transaction(database):
    store = open_store(database)
    added = store.add_orders([(given, given.account) for given in map(order, "ab")], [rejection("c"), rejection("d")])
    assert outcomes(added) == ["accepted"] * 2
    times = {row.created_at for row in rows(database, INVOICE)} | {row.at for row in rows(database, REJECTED)}
    assert len(times) == 1
    assert [row.message_key for row in rows(database, REJECTED)] == ["c", "d"]


def test_an_order_that_cannot_be_written_takes_nothing_with_it_that_was_turned_away(database):
    store = open_store(database)
    unwritable = order("x").model_copy(update={"order_id": ["no text"]})
    with pytest.raises(Exception, match=r"(?i)no text|type"):
        store.add_orders([(order("a"), ACCOUNT), (unwritable, ACCOUNT)], [rejection("c")])
    assert rows(database, REJECTED) == rows(database, INVOICE) == []
    assert outcomes(store.add_orders([(order("a"), ACCOUNT)], [rejection("c")])) == ["accepted"]
    assert len(rows(database, REJECTED)) == 1


def test_the_same_messages_turned_away_side_by_side_are_listed_once(database):
    keys = [f"key-{number}" for number in range(50)]
    in_threads(
        lambda: open_store(database).reject([rejection(key) for key in keys]),
        lambda: open_store(database).reject([rejection(key) for key in reversed(keys)]),
    )
    assert len(rows(database, REJECTED)) == len(keys)


@pytest.mark.parametrize("odd", ["nul \x00", "half a pair \ud83d", "\udc00\x00"])
def test_a_message_with_characters_no_database_takes_is_kept_and_known_to_be_changed(database, odd):
    store = open_store(database)
    store.reject([rejection("odd", task=odd, reason=odd, excerpt=odd)])
    (row,) = rows(database, REJECTED)
    for kept in (row.task, row.reason, row.excerpt):
        assert "\\" in kept
        assert "\x00" not in kept
    assert row.complete is False


def test_a_long_message_is_cut_and_known_to_be_cut(database):
    open_store(database).reject(
        [
            rejection("long", excerpt="ü" * (EXCERPT_CHARACTERS + 1), task="t" * 300),
            rejection("fits", excerpt="ü" * EXCERPT_CHARACTERS, task=None),
        ]
    )
    kept = {row.message_key: row for row in rows(database, REJECTED)}
    assert (len(kept["long"].excerpt), kept["long"].complete) == (EXCERPT_CHARACTERS, False)
    assert (len(kept["fits"].excerpt), kept["fits"].complete) == (EXCERPT_CHARACTERS, True)
    assert (len(kept["long"].task), kept["fits"].task) == (255, None)
