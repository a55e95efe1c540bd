"""Events on their way to the stream: by number, none skipped by a late commit, each invoice's in its own order."""

from __future__ import annotations

import json
from typing import Any

from domain.decision import Stage
from tests.contracts.store_cases import (
    Background,
    events_of,
    in_threads,
    invoice_of,
    judge,
    open_store,
    pend,
    rows,
    seen,
    wait_until,
    writer,
)
from workers.store import judging
from workers.store.agenda import PUBLISH_LANE
from workers.store.judging import Judgement
from workers.store.tables import EVENT


def read(event):
    body = json.loads(event.body)
    return body["subject"], int(body["sequence"])


def test_events_wait_for_the_stream_in_the_order_of_their_numbers_until_it_has_them(database):
    store = open_store(database)
    first, second = pend(store, 2)
    judge(store, second, seen("paid"))
    judge(store, first, seen("confirming"))
    waiting = store.publishing.unpublished(10)
    assert [read(event) for event in waiting] == [(first, 1), (second, 1), (second, 2), (first, 2)]
    assert [event.number for event in waiting] == sorted(event.number for event in waiting)
    assert store.publishing.unpublished(2) == waiting[:2]
    store.publishing.mark_published([event.number for event in waiting[:3]])
    assert store.publishing.unpublished(10) == waiting[3:]
    published = rows(database, EVENT, EVENT.c.published_at.is_not(None))
    assert [event.id for event in published] == [event.id for event in waiting[:3]]
    assert all(event.published_at >= event.created_at for event in published)
    store.publishing.mark_published([])


def test_what_is_just_being_told_is_left_out_and_nothing_else_is(database):
    store = open_store(database)
    pend(store, 3)
    first, second, third = store.publishing.unpublished(10)
    assert store.publishing.unpublished(10, [first.number, third.number]) == [second]
    assert store.publishing.unpublished(1, [first.number]) == [second]
    assert store.publishing.unpublished(0, [first.number]) == []


def test_what_is_told_are_the_very_bytes_of_the_event(database):
    store = open_store(database)
    (invoice_id,) = pend(store)
    (event,) = store.publishing.unpublished(10)
    assert (event.id, event.body) == (events_of(database, invoice_id)[0].id, events_of(database, invoice_id)[0].body)


def test_an_event_that_commits_late_is_not_skipped(database):
    """On PostgreSQL its number is lower than those that were told already: a number is never a cursor."""
    store = open_store(database)
    slow, quick = pend(store, 2)
    store.publishing.mark_published([event.number for event in store.publishing.unpublished(10)])
    with database.transaction() as connection:
        judging.judge(connection, database, store.policy_of, [Judgement(slow, seen("paid"))])
        other = Background(lambda: judge(store, quick, seen("paid")))
        if database.is_postgresql:
            other.result()
            told = store.publishing.unpublished(10)
            assert [read(event)[0] for event in told] == [quick]
            store.publishing.mark_published([event.number for event in told])
    other.result()
    waiting = [read(event) for event in store.publishing.unpublished(10)]
    assert waiting == ([(slow, 2)] if database.is_postgresql else [(slow, 2), (quick, 2)])


def test_each_invoices_events_are_told_in_order_while_others_write(database):
    ids = pend(open_store(database), 12)
    told: list[Any] = []
    finished: list[int] = []

    def publish():
        store = open_store(database)

        def sweep():
            over = len(finished) == 3
            events = store.publishing.unpublished(7)
            told.extend(read(event) for event in events)
            store.publishing.mark_published([event.number for event in events])
            return over and not events

        wait_until(sweep, "everything told")

    in_threads(*[writer(database, ids, seed, finished) for seed in (1, 2, 3)], publish)
    for one in ids:
        assert [sequence for subject, sequence in told if subject == one] == list(
            range(1, invoice_of(database, one).sequence + 1)
        )


def test_the_stream_has_one_holder_at_a_time(database):
    open_store(database).add_standing()
    claims = in_threads(*[lambda: open_store(database).claim(Stage.PUBLISH, PUBLISH_LANE, 1, 60.0)] * 5)
    assert sorted(len(claimed) for claimed in claims) == [0, 0, 0, 0, 1]


def test_making_sure_of_the_standing_rows_side_by_side_makes_each_once(database):
    in_threads(*[open_store(database).add_standing] * 5)
    assert len(open_store(database).claim(Stage.PUBLISH, PUBLISH_LANE, 10, 60.0)) == 1


def test_a_later_claim_of_the_stream_has_a_greater_fence(database):
    """The stream refuses an older holder by it: it must grow with every claim, and never shrink."""
    store = open_store(database)
    store.add_standing()
    pend(store)
    fences = [store.publishing.claim_publisher(1, 0)[0].fence for _ in range(20)]
    assert fences == sorted(set(fences))
