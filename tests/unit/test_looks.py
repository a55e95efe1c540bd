"""Which look-ups go first where a budget does not cover all of them, and how far ahead the next one is planned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import String

from domain.account import MAX_BUDGETED_NAME, Account
from domain.decision import Stage
from domain.evidence import CalledBack, ClockRanOut, RecheckRequested, Seen
from domain.lifecycle import decide
from domain.looks import Look, account_of, doorbell_of, has_own_lane, lane_of, lanes_of, look_of
from domain.schedule import JITTER_SHARE, SLOWEST_POLL
from domain.status import Status
from tests.invoice_world import START, new_invoice, new_policy
from workers.store.tables import AGENDA

SAME = Seen(status=Status.PENDING, word="waiting", asked_at=START)
SOON = START + timedelta(minutes=1)


def invoice(**fields):
    return new_invoice(**{"status": "pending", "provider_ref": "r", "expires_at": START + timedelta(hours=1), **fields})


@pytest.mark.parametrize(
    ("fields", "evidence", "due_at", "look"),
    [
        ({}, SAME, SOON, Look.OPEN),
        ({}, SAME, START + timedelta(hours=1), Look.NEAR),
        ({}, ClockRanOut(), START + timedelta(hours=2), Look.NEAR),
        ({"expires_at": None}, SAME, SOON, Look.OPEN),
        ({"status": "confirming"}, SAME, SOON, Look.NEAR),
        ({"status": "partially_paid"}, SAME, SOON, Look.NEAR),
        ({"status": "expired"}, SAME, SOON, Look.WATCHED),
        ({"status": "paid"}, SAME, SOON, Look.WATCHED),
        ({"called_status": "paid"}, SAME, SOON, Look.CALLED),
        ({"called_status": "paid", "status": "expired"}, SAME, SOON, Look.CALLED),
        ({"status": "paid"}, CalledBack(status=Status.REFUNDED, word="refunded", order_id="1"), START, Look.CALLED),
        ({}, RecheckRequested(by="me", reason="asked"), START, Look.CALLED),
    ],
)
def test_after_a_callback_comes_first_then_what_is_near_its_end_and_closed_ones_last(fields, evidence, due_at, look):
    assert look_of(invoice(**fields), evidence, due_at) is look


def test_every_lane_of_an_account_leads_back_to_it_and_no_account_can_have_its_name():
    lanes = lanes_of("shop")
    assert len(set(lanes)) == len(Look)
    assert lane_of("shop", Look.OPEN) == "shop"
    for lane in lanes:
        assert account_of(lane) == "shop"
        if lane != "shop":
            with pytest.raises(ValueError, match="name"):
                Account(name=lane, provider="nebulox", base_url="http://x", api_key="k")
    rung = [doorbell_of(lane) for lane in lanes]
    assert sorted(rung) == ["shop", "shop", "shop", lane_of("shop", Look.CALLED)]


def next_look(invoice, evidence=SAME, jitter=0.0, **policy):
    decision = decide(invoice, evidence, new_policy(poll_seconds=30.0, **policy), START, jitter)
    due_at = decision.agenda[Stage.CHECK]
    assert due_at is not None
    return (due_at - START).total_seconds()


LONG = START + timedelta(days=3)


def test_a_quiet_invoice_is_planned_no_sooner_than_its_turn_comes():
    assert next_look(invoice(expires_at=LONG)) == pytest.approx(30 * 1.3)
    assert next_look(invoice(expires_at=LONG), look_gap_seconds=100.0) == 100
    assert next_look(invoice(expires_at=LONG, quiet_polls=40), look_gap_seconds=100.0) == 300


def test_where_turns_are_rare_all_that_are_quiet_are_due_after_the_same_time_and_so_go_in_turn():
    """Whatever the jitter and however quiet: nobody overtakes. And no further away than the slowest poll, so that
    where many invoices are closed at once the others come sooner."""
    waits = {
        next_look(invoice(expires_at=LONG, quiet_polls=quiet), jitter=jitter, look_gap_seconds=10_000.0)
        for quiet in (0, 1, 5, 100)
        for jitter in (0.0, 0.5, 1.0)
    }
    assert waits == {30 * SLOWEST_POLL * (1 + JITTER_SHARE)}


def test_money_on_its_way_and_a_first_look_wait_for_no_turn():
    assert next_look(invoice(status="confirming", monitor_until=LONG), look_gap_seconds=10_000.0) <= 30 * 1.3
    confirming = Seen(status=Status.CONFIRMING, word="paying", asked_at=START)
    assert next_look(invoice(expires_at=LONG), confirming, look_gap_seconds=10_000.0) == 30


def test_the_end_of_an_invoice_is_never_passed_by():
    soon = START + timedelta(minutes=2)
    assert next_look(invoice(expires_at=soon), look_gap_seconds=10_000.0) == 120


def test_an_account_with_a_budget_has_a_name_that_its_lanes_have_room_for():
    fields = {"provider": "nebulox", "base_url": "http://h", "api_key": "k-123456"}
    longest = Account(name="a" * MAX_BUDGETED_NAME, look_ups_per_second=1, **fields)

    kept = AGENDA.c.lane.type
    assert isinstance(kept, String)
    assert kept.length is not None
    assert max(len(lane_of(longest.name, look)) for look in Look) <= kept.length
    Account(name="a" * (MAX_BUDGETED_NAME + 1), **fields)
    with pytest.raises(ValueError, match=r"at most 56 characters, and this has 57"):
        Account(name="a" * (MAX_BUDGETED_NAME + 1), look_ups_per_second=1, **fields)


@pytest.mark.parametrize(
    ("length", "budget", "own"), [(56, None, True), (57, None, False), (64, None, False), (56, 2.0, True)]
)
def test_a_look_up_after_a_callback_has_a_lane_of_its_own_where_its_name_fits(length, budget, own):
    account, policy = "a" * length, new_policy(look_ups_per_second=budget)
    assert has_own_lane(account, Look.CALLED, policy) is own
    assert has_own_lane(account, Look.OPEN, policy) is (budget is not None)
    assert not own or len(lane_of(account, Look.CALLED)) <= 64
