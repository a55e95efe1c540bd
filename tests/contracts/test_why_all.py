"""What of everything is late, by cause, and the verdict: the same situations as of one order, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.decision import Stage
from domain.event import new_id
from domain.looks import Look, lane_of
from domain.status import Status
from domain.why import Cause, Verdict
from domain.why.patience import Pace
from domain.why.whose import SHARED
from tests.contracts import why_cases
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    SILENT_ACCOUNT,
    change,
    disable_endpoint,
    now,
    pend,
    queue,
    rows,
    subscribe,
)
from tests.contracts.why_cases import MINUTE, SITUATIONS
from workers.store.operate.invoices import Mark, mark
from workers.store.outbox import NewEvent, add_events
from workers.store.reads.why.late import read_overview
from workers.store.tables import AGENDA, ENDPOINT, INVOICE

UNBOUNDED = Pace()
HOUR = timedelta(hours=1)
#: What is nobody's fault, or is over, is not late.
CALM = {
    Cause.UNKNOWN_ORDER,
    Cause.IN_CALL,
    Cause.WAITS_FOR_ACCOUNT,
    Cause.CANNOT_BE_ASKED,
    Cause.CONFIRMING,
    Cause.WAITS_FOR_PAYER,
    Cause.FINAL,
}


def budget(rate, *, poll_seconds, asked=frozenset()):
    """An account that may be asked so often a second."""
    fields = {"look_ups_per_second": rate, "poll_seconds": poll_seconds}
    return Pace({ACCOUNT: why_cases.ACCOUNTS[ACCOUNT].model_copy(update=fields)}, asked)


@pytest.fixture
def look(database):
    return lambda pace=UNBOUNDED: database.read(read_overview, database, pace)


def late(overview):
    return {one.cause: one for one in overview.late}


def test_with_nothing_to_do_all_is_well(ground, look):
    assert (look().verdict, look().late) == (Verdict.OK, [])


@pytest.mark.parametrize("cause", list(Cause), ids=str)
def test_each_cause_is_counted_as_it_is_told_of_one_order(ground, look, cause):
    name = SITUATIONS[cause](ground)
    overview = look()
    if cause in CALM:
        assert cause not in late(overview)
        assert overview.verdict is Verdict.OK
        return
    found = late(overview)[cause]
    assert (found.count, found.example) == (1, name)
    assert found.oldest_since is not None
    well = {Cause.REJECTED_MESSAGE: Verdict.OK, Cause.NO_WORKER: Verdict.STALLED}
    assert overview.verdict is well.get(cause, Verdict.DEGRADED)


@pytest.mark.parametrize("cause", list(Cause), ids=str)
def test_who_sees_another_account_only_is_told_of_none_of_it(ground, look, cause):
    SITUATIONS[cause](ground)
    told = look().within({"another-shop"}, ())

    assert {one.cause for one in told.late} <= SHARED
    assert all((one.count, one.example) == (0, None) for one in told.late)
    assert all(part.account is None and part.at is None for part in told.parts)


@pytest.mark.parametrize("cause", sorted(set(Cause) - CALM - SHARED - {Cause.REJECTED_MESSAGE}), ids=str)
def test_who_sees_its_account_is_told_the_same_as_who_sees_all(ground, look, cause):
    SITUATIONS[cause](ground)
    overview = look()

    told = overview.within({ACCOUNT, SILENT_ACCOUNT}, {row.id for row in rows(ground.database, ENDPOINT)})
    assert (told.verdict, told.late) == (overview.verdict, overview.late)


@pytest.mark.usefixtures("ground")
def test_a_rejected_message_that_is_sent_again_while_it_is_counted_is_not_late(look, monkeypatch):
    monkeypatch.setattr("workers.store.reads.why.late.count_found", lambda *_: 1)  # it was there a moment ago

    assert (look().verdict, look().late) == (Verdict.OK, [])


def test_all_of_a_cause_are_counted_and_the_oldest_is_told(ground, look):
    first = why_cases.key_refused(ground)
    why_cases.key_refused(ground)
    why_cases.key_refused_at_look_ups(ground)
    long_ago = now(ground.database) - MINUTE
    change(ground.database, INVOICE, INVOICE.c.id == first, refused_since=long_ago)
    found = late(look())[Cause.KEY_REFUSED]
    assert (found.count, found.example) == (3, first)
    assert found.oldest_since == long_ago


def test_several_causes_stand_in_their_order(ground, look):
    for situation in (why_cases.in_doubt, why_cases.contradiction, why_cases.provider_refuses):
        situation(ground)
    assert [one.cause for one in look().late] == [Cause.CONTRADICTION, Cause.PROVIDER_REFUSES, Cause.IN_DOUBT]


def test_orders_that_wait_long_for_a_full_account_are_late(ground, look):
    invoice = queue(ground.store)
    assert look().late == []
    ground.overdue(invoice)
    found = late(look())[Cause.WAITS_FOR_ACCOUNT]
    assert (found.count, found.example) == (1, invoice)
    assert look().verdict is Verdict.DEGRADED


def look_up_late(ground, ago):
    """Look-ups have been due for so long."""
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=now(ground.database) - ago)


def test_look_ups_under_a_budget_are_late_when_their_turn_is_over(ground, look):
    pend(ground.store)
    ground.tell_stream()
    look_up_late(ground, MINUTE)
    asked = {(Stage.CHECK, ACCOUNT)}
    assert look().verdict is Verdict.DEGRADED
    assert look(budget(1, poll_seconds=60, asked=asked)).late == []
    assert look(budget(1, poll_seconds=60, asked=asked)).verdict is Verdict.OK
    assert Cause.WAITS_FOR_ACCOUNT in late(look(budget(1, poll_seconds=30, asked=asked)))
    assert look(budget(0.02, poll_seconds=30, asked=asked)).late == []
    assert Cause.WAITS_FOR_ACCOUNT in late(look(budget(0.02, poll_seconds=60)))


def test_closed_invoices_are_never_late_under_a_budget_as_what_is_left_is_theirs(ground, look):
    pend(ground.store)
    ground.tell_stream()
    look_up_late(ground, 60 * MINUTE)
    pace = budget(1, poll_seconds=30, asked={(Stage.CHECK, ACCOUNT)})
    assert Cause.WAITS_FOR_ACCOUNT in late(look(pace))
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, lane=lane_of(ACCOUNT, Look.WATCHED))
    assert Cause.WAITS_FOR_ACCOUNT not in late(look(pace))


def test_where_more_is_due_than_is_counted_under_a_budget_no_turn_is_over(ground, look, monkeypatch):
    pend(ground.store, 2)
    look_up_late(ground, 60 * MINUTE)
    pace = budget(1, poll_seconds=30, asked={(Stage.CHECK, ACCOUNT)})
    assert Cause.WAITS_FOR_ACCOUNT in late(look(pace))
    monkeypatch.setattr("workers.store.reads.why.late.COUNTED", 2)
    assert Cause.WAITS_FOR_ACCOUNT not in late(look(pace))


def test_orders_that_a_provider_put_off_are_told(ground, look):
    invoice = why_cases.put_off_by_the_provider(ground)
    assert late(look())[Cause.WAITS_FOR_ACCOUNT].example == invoice


def test_work_of_an_account_that_no_worker_has_is_nobody_s(ground, look):
    invoice = why_cases.no_worker_for_its_account(ground)
    assert late(look())[Cause.NO_WORKER].example == invoice
    assert look().verdict is Verdict.DEGRADED


def test_times_that_ran_out_and_are_not_taken_up_are_nobody_s(ground, look):
    invoice = why_cases.workers_that_leave_the_clock_alone(ground)
    assert late(look())[Cause.NO_WORKER].example == invoice


def test_webhooks_that_wait_for_a_disabled_endpoint_are_counted_by_invoice(ground, database, look):
    endpoint = subscribe(database)
    pend(ground.store, 3)
    ground.tell_stream()
    assert look().late == []
    disable_endpoint(database, endpoint)
    change(database, AGENDA, AGENDA.c.stage == Stage.DELIVER.value, due_at=now(database) - MINUTE)
    assert late(look())[Cause.WEBHOOK_WAITS].count == 3
    assert look().verdict is Verdict.DEGRADED
    ground.lose("worker")
    assert late(look())[Cause.NO_WORKER].example is None, "nobody would send them"


def test_a_settled_contradiction_is_not_late(ground, look):
    invoice = why_cases.contradiction(ground)
    assert late(look())[Cause.CONTRADICTION].example == invoice
    mark(ground.store, OPERATOR, invoice_id=invoice, request=Mark(Status.CANCELLED))
    ground.tell_stream()
    assert look().verdict is Verdict.OK


def test_other_accounts_go_on_while_one_is_held_up(ground, look):
    why_cases.provider_unreachable(ground)
    pend(ground.store, 2, account=SILENT_ACCOUNT)
    ground.tell_stream()
    assert [one.cause for one in look().late] == [Cause.PROVIDER_UNREACHABLE]


def event_of_no_invoice(ground):
    """An event that tells of no order here, and the endpoint that takes it."""
    endpoint = subscribe(ground.database, ["provider.drift"])
    with ground.database.transaction() as connection:
        at = now(ground.database) - MINUTE
        event = NewEvent.of_no_invoice(new_id("evt"), "provider.drift", b"{}")
        add_events(connection, [event], at)
    return endpoint


def test_an_event_of_no_invoice_that_an_endpoint_does_not_take_is_late_and_no_example(ground, look):
    endpoint = event_of_no_invoice(ground)
    ground.tell_stream()
    ground.fail(endpoint)
    found = late(look())[Cause.WEBHOOK_WAITS]
    assert (found.count, found.of_none, found.example) == (1, 1, None)
    assert look().verdict is Verdict.DEGRADED
    invoice = why_cases.webhook_waits(ground)
    found = late(look())[Cause.WEBHOOK_WAITS]
    assert (found.count, found.of_none, found.example) == (2, 1, invoice)


def test_the_stream_s_oldest_event_is_an_example_only_if_it_is_an_invoice_s(ground, look):
    event_of_no_invoice(ground)
    found = late(look())[Cause.STREAM_BEHIND]
    assert (found.count, found.example) == (1, None)
    invoice = why_cases.stream_behind(ground)
    found = late(look())[Cause.STREAM_BEHIND]
    assert (found.count, found.example) == (2, invoice)


def test_a_webhook_of_no_invoice_that_no_worker_takes_up_is_no_example(ground, look):
    event_of_no_invoice(ground)
    ground.tell_stream()
    ground.lose("worker")
    found = late(look())[Cause.NO_WORKER]
    assert (found.count, found.example) == (1, None)
