"""Callbacks, look-ups and the clock in any order: nothing is paid without its proof, and no proof is missed."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    RateLimited,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.status import FINAL, Status
from tests.invoice_world import World, new_invoice, new_policy

REF, CODE = "9a1c", "100061"
PRICE = Decimal("12.50")
GRACE = Decimal(5)


def callbacks():
    words = {
        "PENDING": Status.PENDING,
        "PARTIAL": Status.PARTIALLY_PAID,
        "COMPLETED": Status.PAID,
        "EXPIRED": Status.EXPIRED,
    }
    return st.builds(
        lambda word, reference, coin, amount, only: CalledBack(
            status=words.get(word), word=word, reference=reference, pay_currency=coin, paid_amount=amount, only=only
        ),
        st.sampled_from([*words, "WEIRD"]),
        st.sampled_from([None, CODE]),
        st.sampled_from([None, "BTC", "LTC"]),
        st.sampled_from([None, Decimal("0.01"), Decimal("0.0002")]),
        st.booleans(),
    )


def answers():
    words = {
        "PENDING": Status.PENDING,
        "PARTIAL": Status.PARTIALLY_PAID,
        "COMPLETED": Status.PAID,
        "EXPIRED": Status.EXPIRED,
    }
    seen = st.builds(
        lambda word, ref, price, order: Seen(
            status=words.get(word), word=word, provider_ref=ref, price=price, currency="EUR", order_id=order
        ),
        st.sampled_from([*words, "WEIRD"]),
        st.sampled_from([REF, REF, "another"]),
        st.sampled_from([PRICE, PRICE, Decimal(99)]),
        st.sampled_from(["order-1", "order-1", "order-2"]),
    )
    failures = [Unreadable(reason="404"), Unreachable(reason="away"), RateLimited(reason="429", retry_after_seconds=1)]
    return st.one_of(seen, st.sampled_from(failures))


def steps():
    return st.lists(
        st.one_of(
            callbacks(),
            answers(),
            st.just(ClockRanOut()),
            st.just(CancelRequested(reason="no")),
            st.integers(1, 7200).map(lambda seconds: timedelta(seconds=seconds)),
        ),
        max_size=25,
    )


def start(**policy):
    world = World(
        new_invoice(price=PRICE, currency="EUR", pay_currency="BTC"),
        new_policy(asked_by_reference=True, callback_grace_minutes=GRACE, **policy),
    )
    world.take(Created(provider_ref=REF), held=Stage.CREATE)
    return world


def is_bound_payment(evidence):
    named = isinstance(evidence, Seen) and evidence.status is Status.PAID
    return named and (evidence.provider_ref, evidence.price, evidence.order_id) == (REF, PRICE, "order-1")


def may_stand_alone(world, evidence):
    """What the third rule asks for, from what was known before this piece of evidence."""
    invoice = world.invoice
    if isinstance(evidence, CalledBack):
        askable = invoice.asked_by is not None or evidence.reference is not None
        right = evidence.status is Status.PAID and evidence.only and evidence.pay_currency in {None, "BTC"}
        return right and not askable
    waited = invoice.called_at is not None and world.now - invoice.called_at >= timedelta(minutes=float(GRACE))
    right = invoice.called_status == "paid" and invoice.called_only == 1 and invoice.called_currency in {None, "BTC"}
    return right and waited and not (isinstance(evidence, Seen) and evidence.status is not None)


@given(steps())
def test_nothing_is_paid_without_the_proof_that_the_rules_ask_for(story):
    world = start()
    for step in story:
        if isinstance(step, timedelta):
            world.now += step
            continue
        proof = is_bound_payment(step) or may_stand_alone(world, step)
        before = world.invoice.status
        world.take(step, held=Stage.CHECK if isinstance(step, (Seen, Unreadable, Unreachable, RateLimited)) else None)
        if world.invoice.status == "paid" and before != "paid":
            assert proof, step
        if Status(before) in FINAL:
            assert world.invoice.status in {before, "refunded"}


@given(
    before=st.integers(0, 3000),
    lag=st.integers(0, 6),
    failures=st.lists(st.booleans(), min_size=30, max_size=30),
    has_reference=st.booleans(),
)
def test_a_payment_that_was_told_in_time_is_never_missed(before, lag, failures, has_reference):
    """The look-up lags behind the callback, and fails now and then, for ever even: it ends as paid all the same."""
    world = start()
    world.pass_time(before)
    told = CalledBack(status=Status.PAID, word="COMPLETED", reference=CODE if has_reference else None)
    world.take(told)
    for look, fails in enumerate(failures):
        if world.invoice.status == "paid":
            break
        due = min((row.due_at for row in world.agenda.values()), default=None)
        assert due is not None, "nobody will ever look again"
        world.now = max(world.now, due)
        clock = world.agenda.get(Stage.CLOCK)
        if clock is not None and clock.due_at <= world.now:
            world.take(ClockRanOut(), held=Stage.CLOCK)
        elif Stage.CHECK in world.agenda:
            status = Status.PENDING if look < lag else Status.PAID
            answer = Seen(status=status, word=status.value, provider_ref=REF, order_id="order-1", price=PRICE)
            world.take(Unreadable(reason="404") if fails else answer, held=Stage.CHECK)
    assert world.invoice.status == "paid"


def test_one_look_up_that_fails_does_not_outweigh_those_that_said_not_yet():
    world = start()
    world.take(CalledBack(status=Status.PAID, word="COMPLETED", reference=CODE))
    not_yet = Seen(status=Status.PENDING, word="PENDING", provider_ref=REF, order_id="order-1", price=PRICE)
    for _ in range(25):
        world.pass_time(15)
        world.take(not_yet, held=Stage.CHECK)
    world.pass_time(15)
    world.take(Unreachable(reason="a time-out"), held=Stage.CHECK)
    assert world.invoice.status == "pending"

    world.pass_time(float(GRACE) * 60)  # none was to be had for all of the grace
    world.take(Unreachable(reason="a time-out"), held=Stage.CHECK)
    assert world.invoice.status == "paid"
