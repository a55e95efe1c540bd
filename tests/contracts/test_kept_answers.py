"""Answers of providers whose commit is held up: kept, found by whoever takes the row over, judged once."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from domain import evidence as kinds
from domain.decision import Stage
from domain.evidence import Created, Evidence, InDoubt, OrderRefused, RateLimited, Seen, Unreachable
from domain.status import Anomaly, Status
from tests.contracts.store_cases import (
    ACCOUNT,
    SILENT_ACCOUNT,
    agenda_of,
    change,
    claim_one,
    created,
    events_of,
    invoice_of,
    judge,
    make_due,
    now,
    open_store,
    pend,
    queue,
    rows,
    seen,
)
from workers.store.judging import Judgement
from workers.store.kept import find_kept, keep
from workers.store.tables import AGENDA, KEPT

LEASE = 60.0
LOST = InDoubt(reason="the worker that made the call was lost")


def call(store, lane=ACCOUNT):
    """An order whose create was called under a lease that is over by now."""
    invoice_id = queue(store, lane)
    return invoice_id, claim_one(store, Stage.CREATE, lane, lease_seconds=0)


def take_over(store, lane=ACCOUNT):
    ((claim, _, kept),) = store.claim_creates(lane, 10, LEASE)
    return claim, kept


def take_up(store, invoice_id, claim, kept):
    return store.judge([Judgement(invoice_id, kept.evidence, claim, kept.token)])[0]


def test_a_kept_answer_is_found_and_judged_by_whoever_takes_the_row_over(database, store):
    """The process that had it may be dead by then."""
    invoice_id, first = call(store)
    store.keep([Judgement(invoice_id, created(provider_ref="r-1"), first)], 0.0)
    second, kept = take_over(open_store(database))
    assert second.lost
    assert kept.evidence == created(provider_ref="r-1")
    assert take_up(open_store(database), invoice_id, second, kept).status == "pending"
    assert rows(database, KEPT) == []
    assert judge(store, invoice_id, created(provider_ref="r-1"), first).verdict == "ignored"  # its holder comes back
    assert len(events_of(database, invoice_id)) == 1
    assert "create" not in agenda_of(database, invoice_id)


def test_an_answer_that_could_not_be_kept_at_once_is_kept_with_the_next_try(database, store, monkeypatch):
    """What holds up the commit may hold up this as well, for a while."""
    invoice_id, first = call(store)
    answer = Judgement(invoice_id, created(provider_ref="r-1"), first)

    def fail(*_):
        raise OperationalError("INSERT", {}, Exception("away"))

    with monkeypatch.context() as away:
        away.setattr("workers.store.kept.keep", fail)
        with pytest.raises(OperationalError):
            store.keep([answer], 0.0)
    store.keep([answer], 0.0)

    _, found = take_over(open_store(database))
    assert found.evidence == answer.evidence


@pytest.mark.parametrize("evidence", [OrderRefused(reason="no"), Unreachable(reason="refused"), LOST])
def test_what_else_a_call_brought_counts_for_that_call_only(database, store, evidence):
    invoice_id, first = call(store)
    store.keep([Judgement(invoice_id, evidence, first)], 0.0)
    second, kept = take_over(store)
    assert kept.evidence == evidence
    make_due(database, invoice_id, Stage.CREATE)
    third, kept = take_over(store)  # the second one was lost as well: what it did is unknown
    assert (third.lost, kept) == (True, None)
    assert second.token == third.lost_token


def test_an_invoice_that_was_made_counts_under_whatever_lease(database, store):
    invoice_id, first = call(store)
    store.keep([Judgement(invoice_id, created(provider_ref="r-1"), first)], 0.0)
    for _ in range(2):
        make_due(database, invoice_id, Stage.CREATE)
        claim, kept = take_over(store)
    assert take_up(store, invoice_id, claim, kept).status == "pending"


@pytest.mark.parametrize("lane", [ACCOUNT, SILENT_ACCOUNT])
def test_before_a_call_in_doubt_is_made_again_its_late_answer_is_looked_for(database, store, lane):
    """Counted as lost before the answer could be kept: the repeat, by itself or by hand, finds it."""
    invoice_id, first = call(store, lane)
    second, kept = take_over(store, lane)
    assert kept is None
    judge(store, invoice_id, LOST, second)
    store.keep([Judgement(invoice_id, created(), first)], 0.0)
    if lane == SILENT_ACCOUNT:
        judge(store, invoice_id, kinds.RetryRequested(reason="by hand"))
    make_due(database, invoice_id, Stage.CREATE)
    claim, kept = take_over(store, lane)
    assert not claim.lost
    assert take_up(store, invoice_id, claim, kept).status == "pending"


def test_the_holder_that_comes_first_takes_its_kept_answer_away(database, store):
    invoice_id, first = call(store)
    judgement = Judgement(invoice_id, created(), first)
    store.keep([judgement], 0.0)
    store.keep([judgement], 0.0)
    assert len(rows(database, KEPT)) == 1
    assert store.judge([judgement])[0].status == "pending"
    assert rows(database, KEPT) == []


def test_what_was_committed_while_it_was_being_kept_is_forgotten(database, store):
    invoice_id, first = call(store)
    judgement = Judgement(invoice_id, created(), first)
    open_store(database).judge([judgement])
    store.keep([judgement], 0.0)
    store.forget([judgement])
    assert rows(database, KEPT) == []


def test_a_kept_answer_that_nobody_needs_any_more_goes_when_it_is_old(database, store):
    """Its process died between the commit and the forgetting."""
    done, first = call(store)
    store.keep([Judgement(done, created(), first)], 0.0)
    open_store(database).judge([Judgement(done, created())])
    waiting, second = call(store)
    store.keep([Judgement(waiting, created(), second)], 0.0)
    store.remove_finished(timedelta(0))
    assert [row.invoice_id for row in rows(database, KEPT)] == [waiting]


def test_a_lease_is_renewed_and_never_shortened_nor_taken_back(database, store):
    ids = pend(store, 3)
    for one in ids:
        make_due(database, one, Stage.CHECK)
    claims = store.claim(Stage.CHECK, ACCOUNT, 10, LEASE)
    long, over, taken = (claim.subject for claim in claims)
    change(database, AGENDA, AGENDA.c.subject == over, AGENDA.c.stage == "check", due_at=now(database))
    change(database, AGENDA, AGENDA.c.subject == taken, AGENDA.c.stage == "check", lease_token="another")
    before = {one: agenda_of(database, one)["check"] for one in ids}
    store.renew(claims, 30.0)
    after = {one: agenda_of(database, one)["check"] for one in ids}
    assert (after[long], after[taken]) == (before[long], before[taken])
    assert after[over].due_at > before[over].due_at
    assert after[over].claims == 1


def test_a_look_up_s_answer_keeps_its_lease_only(database, store):
    (invoice_id,) = pend(store)
    make_due(database, invoice_id, Stage.CHECK)
    claim = claim_one(store, Stage.CHECK)
    store.keep([Judgement(invoice_id, seen("paid"), claim)], 30.0)
    assert rows(database, KEPT) == []


FULL = [
    Created(
        provider_ref="r", price=Decimal("10.50"), currency="EUR", pay_amount=Decimal("0.000000012300"),
        pay_currency="BTC", network="n", address="a", payment_url="u", qr_code="q", lifetime_minutes=Decimal(60),
        expires_at=datetime(2026, 11, 29, 1, 2, 3, 456789, UTC), raw='{"ä": "€"}',
    ),
    Created(provider_ref="r", price=Decimal("1E+3")),
    RateLimited(reason="429", retry_after_seconds=7.0),
    RateLimited(reason="429"),
    Seen(status=Status.PAID, word="Paid", paid_amount=Decimal(1), anomaly=Anomaly.OVERPAID),
    Seen(status=None, word="?"),
    Seen(status=Status.PAID, word="Paid", others=(Seen(status=Status.PENDING, word="New", price=Decimal("1.50")),)),
    kinds.ClockRanOut(in_call=True),
]  # fmt: skip


@pytest.mark.parametrize("evidence", FULL, ids=lambda evidence: type(evidence).__name__)
def test_an_answer_is_read_as_it_was_kept(database, store, evidence):
    invoice_id, claim = call(store)
    with database.transaction() as connection:
        keep(connection, [(claim, evidence)], database.now(connection))
        kept = find_kept(connection, {invoice_id: claim.token})[invoice_id]
    assert kept.evidence == evidence
    assert [str(value) for value in dataclasses.astuple(kept.evidence)] == [
        str(value) for value in dataclasses.astuple(evidence)
    ]


def test_every_kind_of_evidence_can_be_kept(database, store):
    """A new kind with a field that can't be read back is found here."""
    invoice_id, claim = call(store)
    for kind in [one for one in vars(kinds).values() if isinstance(one, type) and issubclass(one, Evidence)]:
        given = {"reason": "r", "provider_ref": "r", "status": None, "word": "w", "by": "b"}
        names = {field.name for field in dataclasses.fields(kind)}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if name in names}
        evidence = kind(**chosen)
        with database.transaction() as connection:
            connection.execute(KEPT.delete())
            keep(connection, [(claim, evidence)], database.now(connection))
            assert find_kept(connection, {invoice_id: claim.token})[invoice_id].evidence == evidence


def test_what_a_newer_release_kept_and_this_one_does_not_know_is_a_lost_call(database, store):
    invoice_id, claim = call(store)
    for kind, detail in [
        ("Teleported", "{}"),
        ("Created", '{"provider_ref": "r", "colour": "red"}'),
        ("Seen", '{"status": "odd", "word": "w"}'),
        ("Decimal", "{}"),
    ]:
        with database.transaction() as connection:
            connection.execute(KEPT.delete())
            row = {"invoice_id": invoice_id, "token": claim.token, "kind": kind, "detail": detail}
            connection.execute(KEPT.insert().values(**row, kept_at=database.now(connection)))
            assert find_kept(connection, {invoice_id: claim.token}) == {}
    assert invoice_of(database, invoice_id).status == "queued"
