"""An operator's act and its row are one transaction: whatever ends the process, neither is there without the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event

from domain.evidence import InDoubt
from domain.status import Status
from tests.contracts.operator_cases import (
    BOB,
    SECRET,
    URL,
    doubtful,
    keep_headers,
    old_endpoint,
    parked,
    told,
    told_events,
    unmatched,
)
from tests.contracts.store_cases import change, invoice_of, judge, now, pend, queue, rows
from workers.store.endpoints import NewEndpoint
from workers.store.operate import callbacks, endpoints, invoices, redrive, replay, restoration, secrets
from workers.store.replay import Choice
from workers.store.tables import ACT, AGENDA, CALLBACK, DELIVERY, ENDPOINT, RESTORATION


@pytest.fixture
def endpoint(store):
    return old_endpoint(store)


class Died(BaseException):
    """Stands for the end of the process."""


@contextmanager
def dying(database, at):
    """Whoever uses the database dies before the statement or commit of this number; the connection dies with it.

    On PostgreSQL of the statements only the row's own count: connecting anew takes long there.
    """
    left = [at]

    def pass_by(*given):
        if database.is_postgresql and len(given) > 2 and "operator_act" not in given[2]:
            return
        left[0] -= 1
        if left[0] == 0:
            raise Died

    event.listen(database.engine, "before_cursor_execute", pass_by)
    event.listen(database.engine, "commit", pass_by)
    try:
        yield left
    finally:
        event.remove(database.engine, "before_cursor_execute", pass_by)
        event.remove(database.engine, "commit", pass_by)


def cancelling(store, endpoint) -> tuple[Callable[[], object], Callable[[], int]]:
    invoice_id = queue(store)
    count = {"cancelled": 1}
    return (
        lambda: invoices.cancel(store, BOB, invoice_id),
        lambda: count.get(invoice_of(store.database, invoice_id).status, 0),
    )


def marking(store, endpoint):
    (invoice_id,) = pend(store)
    return (
        lambda: invoices.mark(store, BOB, invoice_id, invoices.Mark(Status.PAID)),
        lambda: int(invoice_of(store.database, invoice_id).status == "paid"),
    )


def creating_again(store, endpoint):
    invoice_id = doubtful(store)
    judge(store, invoice_id, InDoubt(reason="again"))
    before = invoice_of(store.database, invoice_id).doubts
    return (
        lambda: invoices.create_again(store, BOB, invoice_id),
        lambda: int(invoice_of(store.database, invoice_id).doubts != before),
    )


def adding(store, endpoint):
    request = NewEndpoint(URL, SECRET)
    return lambda: endpoints.add(store, BOB, request), lambda: len(rows(store.database, ENDPOINT)) - 1


def disabling(store, endpoint):
    return (
        lambda: endpoints.disable(store, BOB, endpoint, "moves"),
        lambda: sum(row.disabled_at is not None for row in rows(store.database, ENDPOINT)),
    )


def enabling(store, endpoint):
    change(store.database, ENDPOINT, disabled_at=now(store.database), disabled_reason="moves")
    pend(store, 2)
    return (
        lambda: endpoints.enable(store, BOB, endpoint),
        lambda: sum(row.disabled_at is None for row in rows(store.database, ENDPOINT)),
    )


def removing(store, endpoint):
    pend(store, 2)

    def done():
        left = rows(store.database, ENDPOINT)
        return 1 + 1 if not left else int(left[0].disabled_at is not None)

    return lambda: endpoints.remove(store, BOB, endpoint), done


def rotating(store, endpoint):
    request = secrets.Rotation(endpoint, "another", timedelta(hours=1))
    return (
        lambda: secrets.rotate(store, BOB, request),
        lambda: sum("another" in row.secrets for row in rows(store.database, ENDPOINT)),
    )


def resealing(store, endpoint):
    endpoints.add(store, BOB, NewEndpoint(URL, SECRET))
    with store.database.transaction() as connection:
        connection.execute(ACT.delete())
    return (
        lambda: secrets.reseal(store, BOB, lambda sealed: f"new-{sealed}", keep_headers),
        lambda: sum(row.secrets.startswith("new-") for row in rows(store.database, ENDPOINT)),
    )


def linking(store, endpoint):
    (invoice_id,) = pend(store)
    number = unmatched(store)
    return (
        lambda: callbacks.link(store, BOB, number, invoice_id),
        lambda: sum(row.invoice_id is not None for row in rows(store.database, CALLBACK)),
    )


def dismissing(store, endpoint):
    number = unmatched(store)
    return (
        lambda: callbacks.dismiss(store, BOB, number),
        lambda: sum(row.state == "dismissed" for row in rows(store.database, CALLBACK)),
    )


def unparking(store, endpoint):
    for _ in range(3):
        parked(store)
    return (
        lambda: redrive.unpark(store, BOB),
        lambda: sum(row.due_at is not None for row in rows(store.database, AGENDA, AGENDA.c.stage == "create")),
    )


def replaying(store, endpoint):
    told_events(store, endpoint)
    change(store.database, DELIVERY, state="dead")
    job = replay.plan(store, Choice(endpoint, dead_only=True))
    return (
        lambda: replay.run(store, BOB, job),
        lambda: sum(row.state == "due" for row in rows(store.database, DELIVERY)),
    )


def restoring(store, endpoint):
    queue(store)
    return lambda: restoration.restore(store, BOB, lambda _: 0.0), lambda: len(rows(store.database, RESTORATION))


CASES = [
    cancelling, marking, creating_again, adding, disabling, enabling, removing, rotating, resealing, linking,
    dismissing, unparking, replaying, restoring,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_death_at_any_point_leaves_act_and_row_or_neither(database, store, endpoint, case, monkeypatch):
    """Before each statement and each commit, one after the other, until the act survives."""
    monkeypatch.setattr(replay, "BATCH", 2)
    monkeypatch.setattr(redrive, "PARKED_BATCH", 2)
    act, done = case(store, endpoint)
    deaths = 0
    for at in range(1, 200):  # far more than any act has
        with dying(database, at) as left:
            try:
                act()
            except Died:
                deaths += 1
            survived = left[0] > 0
        assert written(store) == done(), f"after a death at point {at}"
        if survived:
            break
    assert survived
    assert deaths >= 2, "a row and a commit at least"
    assert done() >= 1


def written(store):
    """How many changes the rows tell of."""
    acts = told(store)
    replayed = sum(act["after"]["events"] for act in acts if act["act"] == "events.replay")
    removals = {act["act"] for act in acts if act["act"].startswith("endpoint.remove")}
    others = [act for act in acts if act["act"] != "events.replay" and not act["act"].startswith("endpoint.remove")]
    return replayed + len(removals) + len(others)
