"""Payments against the invoice, for any story of look-ups, callbacks, marks, the clock: they never contradict it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.booking import corrected, counts
from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, ClockRanOut, Created, Seen, Unreadable
from domain.ledger import Ledger, shown
from domain.money import total
from domain.payments import Sighting
from domain.status import Status
from tests.invoice_world import START, new_invoice, new_policy
from tests.payment_world import PayingWorld, mark

ASKED = Decimal(10)
HASHES = st.sampled_from([None, "cf2e", "0xCF2E", "ab12"])
REFERENCES = st.sampled_from([None, "100", "101"])
TOTALS = st.sampled_from([None, Decimal("2.5"), Decimal(7), ASKED, Decimal(12)])
WORDS = st.sampled_from([Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID, Status.EXPIRED])


def sightings():
    return st.builds(
        Sighting,
        source=st.sampled_from(["look-up", "callback"]),
        status=st.sampled_from([Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID, Status.REFUNDED]),
        at=st.integers(0, 1000).map(lambda seconds: START + timedelta(seconds=seconds)),
        total=TOTALS,
        asset=st.sampled_from([None, "BTC"]),
        tx_hash=HASHES,
        reference=REFERENCES,
    )


def callbacks():
    word = st.sampled_from([Status.PENDING, Status.PARTIALLY_PAID, Status.PAID, Status.EXPIRED, None])
    return st.builds(
        lambda status, reference, tx_hash, total, only: CalledBack(
            status=status, word="WORD", reference=reference, tx_hash=tx_hash, paid_amount=total, only=only
        ),
        word,
        REFERENCES,
        HASHES,
        TOTALS,
        st.booleans(),
    )


def look_ups():
    def build(status, reference, tx_hash, total, order_id, others):
        return Seen(
            status=status,
            word=status.value,
            reference=reference,
            tx_hash=tx_hash,
            paid_amount=total,
            order_id=order_id,
            others=tuple(others),
        )

    orders = st.sampled_from(["order-1", "order-1", "order-2"])
    words = st.one_of(WORDS, st.just(Status.REFUNDED))
    single = st.builds(build, words, REFERENCES, HASHES, TOTALS, orders, st.just(()))
    return st.builds(build, words, REFERENCES, HASHES, TOTALS, orders, st.lists(single, max_size=1))


def stories():
    steps = st.one_of(
        callbacks(),
        look_ups(),
        st.just(Unreadable(reason="404")),
        st.just(ClockRanOut()),
        st.just(CancelRequested(reason="no")),
        st.builds(mark, st.sampled_from([Status.PAID, Status.REFUNDED, Status.FAILED, Status.EXPIRED])),
        st.builds(lambda total: mark(Status.PAID, paid_amount=total), TOTALS),
        st.integers(1, 7200).map(lambda seconds: timedelta(seconds=seconds)),
    )
    return st.tuples(st.sampled_from(BEGINNINGS), st.lists(steps, max_size=20)).map(
        lambda parts: [*parts[0], *parts[1]]
    )


CALLED = CalledBack(status=Status.PAID, word="COMPLETED", reference="100", tx_hash="cf2e", paid_amount=ASKED)
PAID = Seen(status=Status.PAID, word="COMPLETED", reference="100")
PARTIAL = Seen(status=Status.PARTIALLY_PAID, word="PARTIAL", reference="100", paid_amount=Decimal("2.5"))
#: Ways that chance alone seldom takes: a callback that comes to stand alone, a hash that comes late, a growing payment.
BEGINNINGS: tuple[list[Any], ...] = (
    [],
    [CALLED, timedelta(seconds=400), Unreadable(reason="404")],
    [PAID, replace(PAID, tx_hash="cf2e")],
    [PARTIAL, replace(PARTIAL, paid_amount=Decimal(7)), CALLED, replace(PAID, paid_amount=ASKED)],
    [PARTIAL, mark(Status.PAID, paid_amount=ASKED)],
)


def made(**policy):
    world = PayingWorld(new_invoice(), new_policy(asked_by_reference=True, **policy))
    world.take(Created(provider_ref="9a1c", pay_amount=ASKED), held=Stage.CREATE)
    return world


def told(payment):
    """What evidence alone decides about a payment: neither its number nor what the invoice became."""
    unsettled = {"settled_status": None, "settled_sequence": None, "settled_event": None, "settled_by": None}
    return replace(payment, id=None, settled_at=None, **unsettled)


@given(st.lists(sightings(), max_size=8), st.randoms(use_true_random=False))
def test_the_same_sightings_in_any_order_and_repeated_make_the_same_rows(seen, dice):
    ledgers = []
    for _ in range(3):
        order = seen + dice.sample(seen, dice.randint(0, len(seen)))
        dice.shuffle(order)
        ledger = Ledger()
        for one in order:
            ledger.see(one)
            ledger.reckon(ASKED)
        ledgers.append([told(row) for row in shown(list(ledger.rows.values()))])
    assert ledgers[0] == ledgers[1] == ledgers[2]


@given(stories(), st.sampled_from(["settle", "hold"]))
def test_payments_never_contradict_the_invoice(story, late_payment):
    world = made(late_payment=late_payment)
    for step in story:
        if isinstance(step, timedelta):
            world.now += step
            continue
        world.take(step, held=Stage.CHECK if isinstance(step, (Seen, Unreadable)) else None)
        assert_agrees(world)


def assert_agrees(world):
    payments, became = world.payments, {event for _, event, _ in world.told}
    was_paid = "invoice.paid" in became
    settled = [one for one in payments if one.settled_status == "paid"]
    assert bool(settled) == was_paid, "a paid invoice names what paid it, and nothing else does"
    for one in payments:
        if one.settled_status is not None:
            assert (one.settled_event, f"invoice.{one.settled_status}") in {
                (f"evt_{sequence}", event) for _, event, sequence in world.told
            }
        assert one.amount is None or one.amount >= 0
        assert one.first_seen_at <= one.last_seen_at <= world.now
    assert ("invoice.refunded" in became) <= any(one.kind == "refund" for one in payments)
    assert_sums(world)


def assert_sums(world):
    """Amounts of one reference add up to what was told in all, whichever transactions are known."""
    every = [one for one in world.ledger.rows.values() if one.kind == "payment" and one.is_provider_word]
    groups = defaultdict(list)
    for one in every:
        groups[one.reference].append(one)
    for reference, group in groups.items():
        totals = [one.total for one in group if one.total is not None]
        amounts = [one.amount for one in group if not one.folded]
        stands_aside = reference is None and len(groups) > 1
        if totals and not stands_aside and None not in amounts:
            assert sum(amounts) == max(totals)


@given(look_ups(), st.integers(1, 3))
def test_a_look_up_that_is_judged_again_moves_only_the_time_it_was_last_seen(seen, times):
    world = made()
    world.take(seen, held=Stage.CHECK)
    before = world.payments
    for _ in range(times):
        world.pass_time(1)
        world.take(seen, held=Stage.CHECK)
    still = [replace(one, last_seen_at=START) for one in before]
    assert [replace(told(one), last_seen_at=START) for one in world.payments] == [told(one) for one in still]


@given(stories(), st.sampled_from(["settle", "hold"]))
def test_lines_of_the_books_never_change_and_add_up_to_what_is_known(story, late_payment):
    world = made(late_payment=late_payment)
    before: dict[Any, Any] = {}
    for step in story:
        if isinstance(step, timedelta):
            world.now += step
            continue
        world.pass_time(1)
        world.take(step, held=Stage.CHECK if isinstance(step, (Seen, Unreadable)) else None)
        lines = lines_of(world)
        assert all(lines[number] == line for number, line in before.items())
        assert {line[0] for number, line in lines.items() if number not in before} <= {world.now}
        before = lines
    assert_booked(world)


def lines_of(world):
    return {one.id: (one.booked_at, one.booked, one.booked_told) for one in world.ledger.rows.values() if one.booked_at}


def assert_booked(world):
    rows = list(world.ledger.rows.values())
    for one in rows:
        assert (one.booked_at is not None) >= counts(one), "what counts is in the books"
        if one.kind == "correction" or one.booked_at is None:
            continue
        sign = Decimal(-1 if one.kind == "refund" else 1)
        first = sign * (one.booked or Decimal(0))
        booked = total([first, *(other.booked for other in rows if corrected(other) == one.id)])
        assert booked == sign * (Decimal(0) if one.folded else one.amount or Decimal(0))
