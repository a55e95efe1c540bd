"""Callbacks, look-ups and the clock in any order: nothing is paid without its proof, and no proof is missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from domain.against import CONTRADICTION
from domain.decision import Stage
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Marked,
    OrderRefused,
    RateLimited,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.status import FINAL, Status
from tests.invoice_world import START, World, new_invoice, new_policy

REF, CODE = "9a1c", "100061"
PRICE = Decimal("12.50")
GRACE = Decimal(5)
#: What the clock may still have to end.
CLOSING = {"pending", "partially_paid", "confirming", "expired"}


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
    since = max(invoice.called_at or world.now, invoice.called_answered_at or START)
    waited = world.now - since >= timedelta(minutes=float(GRACE))
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


@given(
    st.lists(callbacks(), max_size=4),
    st.sampled_from([None, "BTC", "bitcoin"]),
    st.sampled_from([None, Decimal("0.0001"), Decimal(1)]),
    st.booleans(),
    st.sampled_from([Decimal(0), Decimal(1440)]),
)
def test_an_answer_to_a_create_always_makes_the_order_whatever_callbacks_came_first(
    early, coin, amount, asked_by_reference, monitor_minutes
):
    policy = new_policy(
        asked_by_reference=asked_by_reference, can_be_asked=asked_by_reference, monitor_minutes=monitor_minutes
    )
    world = World(new_invoice(price=PRICE, currency="EUR", pay_currency="BTC"), policy)
    for callback in early:
        world.take(callback)
    claimed = world.invoice.called_status
    world.take(Created(provider_ref=REF, pay_currency=coin, pay_amount=amount), held=Stage.CREATE)

    assert world.invoice.status not in {"queued", "in_doubt"}
    assert world.invoice.provider_ref == REF
    assert Stage.CLOCK in world.agenda or world.invoice.status == "paid"
    if claimed in {"paid", "partially_paid"}:  # neither lost: it counts, is still looked into, or is told as wrong
        assert world.invoice.called_status or world.against or world.invoice.status == claimed


def not_yet():
    return Seen(status=Status.PENDING, word="PENDING", provider_ref=REF, order_id="order-1", price=PRICE)


def closings():
    marks = [
        Marked(status=status, reason="no", by="bob") for status in (Status.CANCELLED, Status.FAILED, Status.EXPIRED)
    ]
    lapses = [timedelta(hours=hours) for hours in (1, 24, 40)]
    refusals = [OrderRefused(reason="no"), CredentialsRefused(reason="401"), Unreachable(reason="away")]
    failed = Seen(status=Status.FAILED, word="FAILED", provider_ref=REF)
    return st.one_of(
        st.sampled_from([CancelRequested(reason="no"), failed, *marks, *refusals, *lapses, ClockRanOut()]),
        st.sampled_from([not_yet(), replace(not_yet(), status=Status.EXPIRED), Unreadable(reason="404")]),
    )


@given(
    only=st.booleans(),
    reference=st.sampled_from([None, CODE]),
    is_made=st.booleans(),
    monitor_minutes=st.sampled_from([Decimal(0), Decimal(60)]),
    story=st.lists(closings(), max_size=12),
)
def test_a_payment_that_a_callback_told_of_is_confirmed_or_told_or_waits_for_a_person_at_the_end(
    only, reference, is_made, monitor_minutes, story
):
    policy = new_policy(asked_by_reference=True, callback_grace_minutes=GRACE, monitor_minutes=monitor_minutes)
    before = START + timedelta(minutes=30)
    world = World(new_invoice(price=PRICE, currency="EUR", create_before=before), policy)
    if is_made:
        world.take(Created(provider_ref=REF), held=Stage.CREATE)
    world.take(CalledBack(status=Status.PAID, word="COMPLETED", reference=reference, only=only))
    settled = False
    for step in story:
        if isinstance(step, timedelta):
            world.now += step
        else:
            settled |= isinstance(step, Marked) and step.status == world.invoice.status == Status.EXPIRED
            stage = Stage.CHECK if isinstance(step, (Seen, Unreadable)) else None
            world.take(step, held=stage if stage in world.agenda else None)
    world.now += timedelta(days=2)
    while (clock := world.agenda.get(Stage.CLOCK)) is not None and world.invoice.status in CLOSING:
        world.now = max(world.now, clock.due_at)
        world.take(ClockRanOut(), held=Stage.CLOCK)

    if world.invoice.status in {"cancelled", "failed", "expired"}:
        assert world.invoice.called_status is None
        assert world.against or (world.given_back and not only) or settled
        assert settled or [event for _, event, _ in world.told].count(CONTRADICTION) == len({*kinds(world)})


def kinds(world):
    return [note.partition(":")[0] for note in world.against]


def test_one_look_up_that_fails_does_not_outweigh_those_that_said_not_yet():
    world = start()
    world.take(CalledBack(status=Status.PAID, word="COMPLETED", reference=CODE))
    for _ in range(25):
        world.pass_time(15)
        world.take(not_yet(), held=Stage.CHECK)
    world.pass_time(15)
    world.take(Unreachable(reason="a time-out"), held=Stage.CHECK)
    assert world.invoice.status == "pending"

    world.pass_time(float(GRACE) * 60)  # none was to be had for all of the grace
    world.take(Unreachable(reason="a time-out"), held=Stage.CHECK)
    assert world.invoice.status == "paid"
