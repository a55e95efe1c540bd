"""Callbacks that tell of a part of the amount, and of further parts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from domain.decision import Stage
from domain.evidence import ClockRanOut
from domain.status import Status
from tests.unit.called_back_cases import called, made, verified


def partial(amount, **fields):
    return called("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(amount), pay_currency="BTC", **fields)


def test_a_part_is_less_than_what_was_asked_for_and_nothing_objects_to_that():
    world = made(pay_amount=Decimal(10), pay_currency="BTC")

    assert world.take(partial(4)).verdict == "noted"
    assert world.due(Stage.CHECK) == 0
    alone = made(pay_amount=Decimal(10), pay_currency="BTC")
    assert alone.take(partial(4, reference=None)).event == "invoice.partially_paid"
    assert alone.invoice.paid_amount == Decimal(4)


def test_a_part_in_another_coin_or_of_nothing_is_objected_to_all_the_same():
    for odd in (replace(partial(4), pay_currency="LTC"), partial(0)):
        assert made(pay_amount=Decimal(10), pay_currency="BTC").take(odd).verdict == "contradiction"


def test_each_further_part_is_news():
    world = made()
    world.take(partial(4))
    assert world.take(verified("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(4)), held=Stage.CHECK).event

    assert world.take(partial(6)).verdict == "noted"
    assert world.due(Stage.CHECK) == 0
    grown = verified("PARTIAL", Status.PARTIALLY_PAID, paid_amount=Decimal(6))
    assert world.take(grown, held=Stage.CHECK).event == "invoice.partially_paid"
    for older in (partial(6), partial(4), replace(partial(9), paid_amount=None)):
        assert world.take(older).verdict == "ignored"


def test_each_further_part_is_told_where_no_look_up_is_to_be_had():
    world = made()
    told = [world.take(partial(amount, reference=None)).event for amount in (4, 6, 6, 5, 9)]

    assert told == ["invoice.partially_paid", "invoice.partially_paid", None, None, "invoice.partially_paid"]
    assert (world.invoice.paid_amount, world.invoice.sequence) == (Decimal(9), 4)


def test_a_part_that_stood_alone_is_not_called_unconfirmed_once_the_watch_ends():
    world = made(policy={"monitor_minutes": Decimal(10)})
    world.take(partial(4, reference=None))
    assert world.invoice.called_status is None
    world.pass_time(3600)
    assert world.take(ClockRanOut(), held=Stage.CLOCK).event == "invoice.expired"
    assert world.invoice.anomaly == "underpaid"
    assert world.agenda == {}
