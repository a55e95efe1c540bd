"""A mark that an expired invoice stays expired: what was against it is settled, the same again is no news, more is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import String

from domain.against import CONTRADICTION
from domain.contradicted import Contradicted
from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, Created, Marked, RecheckRequested, Seen, Unreadable
from domain.status import Status
from tests.invoice_world import World, new_invoice, new_policy
from workers.store.tables import INVOICE

STAYS = Marked(status=Status.EXPIRED, reason="paid back: tx 77", by="bob")
CONFIRMED = "confirmed: it is expired, says bob"
PAID = CalledBack(status=Status.PAID, word="COMPLETED", reference="7")


def expired(late_payment="hold", **given):
    policy = given.pop("policy", {})
    world = World(new_invoice(**given), new_policy(late_payment=late_payment, **policy))
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    world.pass_time(3600)
    world.take(ClockRanOut(), held=Stage.CLOCK)
    look(world, "pending")
    world.pass_time(20)
    world.take(ClockRanOut(), held=Stage.CLOCK if Stage.CLOCK in world.agenda else None)
    assert world.invoice.status == "expired"
    world.pass_time(60)
    return world


def look(world, status, word=None, **fields):
    answer = Seen(status=Status(status), word=word or status.title(), asked_at=world.now, **fields)
    return world.take(answer, held=Stage.CHECK if Stage.CHECK in world.agenda else None)


def contradictions(world):
    return [event for _, event, _ in world.told].count(CONTRADICTION)


def end_watch(world):
    while (clock := world.agenda.get(Stage.CLOCK)) is not None:
        world.now = max(world.now, clock.due_at)
        world.take(ClockRanOut(), held=Stage.CLOCK)
        world.agenda.pop(Stage.CHECK, None)


def test_it_stays_as_it_is_and_nobody_is_told():
    world = expired()
    look(world, "paid", paid_amount=Decimal("0.30"))
    before = {**vars(world.invoice)}

    decision = world.take(STAYS)
    assert (decision.verdict, decision.event, decision.note) == ("noted", None, CONFIRMED)
    changed = {name for name, value in vars(world.invoice).items() if value != before[name]}
    assert changed == {"contradicted"}
    assert (world.invoice.anomaly, world.agenda) == ("late", {})


def test_where_nothing_is_against_it_the_mark_confirms_what_it_is():
    world = expired()
    planned = {stage: row.due_at for stage, row in world.agenda.items()}

    assert world.take(STAYS).note == CONFIRMED
    assert {stage: row.due_at for stage, row in world.agenda.items()} == planned, "it is watched as before"
    assert look(world, "pending").verdict == "noted"


def test_an_amount_has_no_place_in_it():
    world = expired()
    look(world, "paid")
    decision = world.take(replace(STAYS, paid_amount=Decimal(1)))

    assert (decision.verdict, decision.changes) == ("noted", {})
    assert decision.note == "mark: marked as expired with 1 by bob, and it is expired"


@pytest.mark.parametrize("policy", [{}, {"monitor_minutes": Decimal(0)}])
def test_what_a_look_up_said_is_no_news_when_it_is_said_again(policy):
    world = expired(policy=policy)
    said = {"paid_amount": Decimal("0.30")}
    look(world, "paid", **said)
    world.take(STAYS)

    for amount in ("0.30", "0.300"):
        world.take(RecheckRequested(reason="a customer called", by="bob"))
        decision = look(world, "paid", paid_amount=Decimal(amount))
        assert (decision.verdict, decision.event) == ("noted", None)
        assert decision.note is not None
        assert decision.note.startswith("a mark has settled it: ")
    assert contradictions(world) == 1


@pytest.mark.parametrize(
    "again",
    [
        {"paid_amount": Decimal("0.60")},
        {"paid_amount": Decimal("0.30"), "word": "Completed"},
        {},
    ],
)
def test_another_late_payment_is_told_anew(again):
    world = expired()
    look(world, "paid", paid_amount=Decimal("0.30"))
    world.take(STAYS)

    decision = look(world, "paid", **again)
    assert (decision.verdict, decision.event) == ("contradiction", CONTRADICTION)
    assert look(world, "paid", **again).event is None
    world.take(STAYS)
    assert look(world, "paid", **again).verdict == "noted"
    assert contradictions(world) == 2


def test_answers_that_alternate_are_each_told_once_however_often_somebody_marks():
    world = expired()
    turns = [{"paid_amount": Decimal("0.30")}, {}, {"paid_amount": Decimal("0.60")}]
    for said in turns:
        assert look(world, "paid", **said).event == CONTRADICTION
        world.take(STAYS)

    for said in turns * 2:
        assert look(world, "paid", **said).verdict == "noted"
        world.take(STAYS)
    assert contradictions(world) == 3


def test_answers_that_alternate_between_two_marks_are_settled_together():
    world = expired()
    turns = [{"paid_amount": Decimal("0.30")}, {}]
    assert [look(world, "paid", **said).event for said in turns * 2] == [CONTRADICTION, None, None, None]
    world.take(STAYS)

    assert {look(world, "paid", **said).verdict for said in turns * 2} == {"noted"}


def test_what_is_remembered_of_many_answers_fits_into_its_column():
    known = Contradicted(told=("late_payment", "status", "mark"), owed=("currency", "reference"))
    for number in range(10):
        known = known.hearing(f"{number:012}")
        known = replace(known.settling(), told=known.told).hearing(f"{number + 100:012}")

    kept = INVOICE.c.contradicted.type
    assert isinstance(kept, String)
    assert len(known.text or "") <= (kept.length or 0)
    assert known.has_settled("000000000009")
    assert not known.has_settled("000000000001"), "the newest few are kept"


def test_one_that_only_confirmed_is_told_anew_once_it_is_certain():
    world = expired()
    look(world, "confirming")
    world.take(STAYS)
    for _ in range(3):
        world.pass_time(300)
        assert look(world, "confirming").verdict == "noted"
        assert Stage.CHECK in world.agenda, "it is watched as before"

    assert look(world, "paid").event == CONTRADICTION
    assert world.agenda == {}


def test_a_part_that_came_late_is_settled_until_more_comes():
    world = expired("settle")
    assert look(world, "partially_paid", paid_amount=Decimal(3)).event == CONTRADICTION
    assert look(world, "partially_paid", paid_amount=Decimal(4)).event is None
    world.take(STAYS)

    assert look(world, "partially_paid", paid_amount=Decimal(4)).verdict == "noted"
    assert look(world, "partially_paid", paid_amount=Decimal(5)).event == CONTRADICTION
    assert look(world, "partially_paid", paid_amount=Decimal(6)).event is None
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", "underpaid")


def test_a_part_that_the_shop_knows_of_is_told_once_more_comes_after_the_mark():
    world = World(new_invoice(), new_policy())
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    look(world, "partially_paid", paid_amount=Decimal(3))
    world.pass_time(3600)
    look(world, "partially_paid", paid_amount=Decimal(3))
    assert (world.invoice.status, world.invoice.anomaly) == ("expired", "underpaid")
    world.take(STAYS)

    assert look(world, "partially_paid", paid_amount=Decimal(3)).event is None
    assert look(world, "partially_paid", paid_amount=Decimal(4)).event == CONTRADICTION


def test_an_answer_that_does_not_fit_is_no_news_and_another_one_is():
    world = expired("settle", price=Decimal(10), currency="EUR")
    wrong = {"price": Decimal(12), "currency": "EUR"}
    assert look(world, "paid", **wrong).event == CONTRADICTION
    world.take(STAYS)

    assert look(world, "paid", **wrong).verdict == "noted"
    assert look(world, "paid", price=Decimal(13), currency="EUR").event == CONTRADICTION


def test_what_does_not_fit_since_it_was_open_is_settled_before_it_is_looked_at_again():
    world = World(new_invoice(price=Decimal(10), currency="EUR"), new_policy())
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    wrong = {"price": Decimal(12), "currency": "EUR"}
    assert look(world, "paid", **wrong).event == CONTRADICTION
    world.pass_time(3600)
    look(world, "paid", **wrong)
    assert world.invoice.status == "expired"
    world.take(STAYS)

    assert look(world, "paid", **wrong).verdict == "noted"


def test_what_settles_by_itself_still_counts_within_the_watch():
    world = expired("settle", price=Decimal(10), currency="EUR")
    look(world, "paid", price=Decimal(12), currency="EUR")
    world.take(STAYS)

    assert look(world, "paid", price=Decimal(10), currency="EUR").event == "invoice.paid"
    assert world.invoice.anomaly == "late"


def test_a_callback_that_waits_for_a_look_up_is_settled_and_asked_about_once_more():
    world = expired(policy={"asked_by_reference": True})
    world.take(PAID)
    assert world.invoice.called_status == "paid"
    look(world, "pending")
    assert world.due(Stage.CHECK)

    world.take(STAYS)
    assert (world.invoice.called_status, world.due(Stage.CHECK)) == (None, 0)
    look(world, "pending")
    end_watch(world)
    assert world.against == []


def test_one_that_came_only_just_before_the_mark_is_not_lost():
    world = expired(policy={"asked_by_reference": True})
    world.take(PAID)
    world.take(STAYS)

    assert look(world, "paid").event == CONTRADICTION


def test_one_that_may_be_another_invoices_waits_for_a_person():
    world = expired(policy={"asked_by_reference": True})
    world.take(replace(PAID, only=False))
    world.take(Unreadable(reason="404"), held=Stage.CHECK)

    decision = world.take(STAYS)
    assert (decision.note, world.given_back, world.invoice.called_status) == (CONFIRMED, 1, None)


def test_a_callback_after_the_mark_is_told():
    world = expired(policy={"asked_by_reference": True, "monitor_minutes": Decimal(0)})
    world.take(PAID)
    world.take(STAYS)

    decision = world.take(replace(PAID, paid_amount=Decimal(1)))
    assert (decision.verdict, decision.event) == ("contradiction", CONTRADICTION)
    assert contradictions(world) == 2


@pytest.mark.parametrize(
    "text",
    [
        None,
        "status",
        "status made",
        "status ~price",
        "~a ~b",
        "late_payment #0123456789ab",
        "=",
        "a =ab",
        "a #ab #cd =ef =01",
    ],
)
def test_what_is_remembered_is_read_as_it_was_written(text):
    assert Contradicted.read(text).text == text
