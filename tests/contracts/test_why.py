"""Why nothing happens to an order: each of the causes from a situation as it comes about, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click import Context

from domain.decision import Stage
from domain.evidence import InDoubt, Unreachable
from domain.status import Status
from domain.why import Cause, first_cause
from tests.contracts import why_cases
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    change,
    disable_endpoint,
    judge,
    now,
    order,
    pend,
    queue,
    seen,
    subscribe,
    take,
)
from tests.contracts.why_cases import ACCOUNTS, MINUTE, OTHER_WAYS, SITUATIONS
from workers.cli.main import cli
from workers.store.operate.invoices import Mark, mark
from workers.store.reads.why.order import Around, read_facts
from workers.store.tables import AGENDA, DELIVERY, EVENT


@pytest.fixture
def why(ground):
    """The cause that a name gives."""
    return ground.why


def parses(command):
    """Whether a command line is one of ours; raises what the command line says otherwise."""
    group: Any = cli
    arguments = command.split()[1:]
    while hasattr(group, "get_command"):
        name = arguments.pop(0)
        group = group.get_command(Context(group), name)
        assert group is not None, command
    group.make_context(command, arguments)
    return True


@pytest.mark.parametrize("cause", list(Cause), ids=str)
def test_each_cause_is_told_in_a_sentence_with_what_comes_next_and_the_command_that_helps(ground, why, cause):
    found = why(SITUATIONS[cause](ground))

    assert found.cause is cause
    assert found.text
    assert "None" not in found.text
    assert found.text[0].isupper()
    assert found.text.endswith(".")
    assert found.since is not None or cause is Cause.UNKNOWN_ORDER
    assert (found.next is None) <= (found.next_at is None)
    assert found.command is None or parses(found.command)


@pytest.mark.parametrize("situation", OTHER_WAYS, ids=lambda situation: situation.__name__)
def test_other_ways_into_a_cause(ground, why, situation):
    found = why(situation(ground))
    assert found.cause is OTHER_WAYS[situation]
    assert found.command is None or parses(found.command)
    assert "None" not in found.text


def test_every_cause_has_its_situation_in_the_order_of_precedence():
    assert list(SITUATIONS) == list(Cause)


def test_a_rejected_message_tells_its_reason_and_when(ground, why):
    found = why(why_cases.rejected_message(ground))
    assert "price" in found.text
    assert found.command == "invoices redrive rejected 1"


def test_an_order_that_was_sent_again_rightly_is_told_of_itself(ground, why):
    name = why_cases.rejected_message(ground)
    ids = take(ground.store, order(name))
    assert why(name).cause is Cause.WAITS_FOR_ACCOUNT
    assert why(ids[0]).cause is Cause.WAITS_FOR_ACCOUNT


@pytest.mark.parametrize("name", ["price", "-1", "order-"])
def test_other_words_of_a_rejected_message_are_no_order(ground, why, name):
    why_cases.rejected_message(ground)
    assert why(name).cause is Cause.UNKNOWN_ORDER


def test_an_unknown_order_may_wait_in_the_broker_where_no_intake_runs(ground, why):
    name = why_cases.unknown_order(ground)
    assert f"the newest order was taken for {ACCOUNT} at " in why(name).text
    assert why(name).command is None
    ground.lose("intake")
    assert "may wait in the broker" in why(name).text
    assert why(name).command == "invoices up"


def test_a_mark_settles_a_contradiction(ground, database, why):
    invoice = why_cases.contradiction(ground)
    found = why(invoice)
    assert "says paid, and it is cancelled" in found.text
    assert found.command == f"invoices mark {invoice} cancelled --reason REASON"
    mark(ground.store, OPERATOR, invoice_id=invoice, request=Mark(Status.CANCELLED))
    ground.tell_stream()
    assert why(invoice).cause is Cause.FINAL


def test_of_an_expired_one_both_marks_are_named_and_either_settles(ground, why):
    (invoice,) = pend(ground.store)
    judge(ground.store, invoice, seen("expired"))
    judge(ground.store, invoice, seen("partially_paid"))
    ground.tell_stream()
    found = why(invoice)
    assert found.text.endswith("a person decides: marked as paid it counts, marked as expired it stays expired.")
    assert found.command == f"invoices mark {invoice} paid --reason REASON"
    mark(ground.store, OPERATOR, invoice_id=invoice, request=Mark(Status.EXPIRED))
    assert why(invoice).cause is not Cause.CONTRADICTION


def test_a_refused_key_tells_when_the_order_fails_and_when_it_is_tried_again(ground, why):
    found = why(why_cases.key_refused(ground))
    assert "HTTP 401: unknown API key" in found.text
    assert f"{found.since + timedelta(minutes=10):%H:%M:%S} UTC" in found.text
    assert found.since < found.next_at < found.since + timedelta(minutes=10)


def test_a_worker_counts_as_gone_after_fifteen_seconds(ground, why):
    invoice = queue(ground.store)
    ground.lose("worker", timedelta(seconds=10))
    assert why(invoice).cause is Cause.WAITS_FOR_ACCOUNT
    ground.lose("worker", timedelta(seconds=16))
    found = why(invoice)
    assert found.cause is Cause.NO_WORKER
    assert found.since is not None
    assert found.command == "invoices up"


def test_a_lease_of_workers_that_are_gone_is_nobody_s(ground, why):
    invoice = why_cases.in_call(ground)
    ground.lose("worker")
    assert why(invoice).cause is Cause.NO_WORKER


def test_without_anything_to_be_done_no_worker_is_missed(ground, why):
    invoice = why_cases.waits_for_payer(ground)
    ground.lose("worker")
    assert why(invoice).cause is Cause.WAITS_FOR_PAYER
    ground.overdue(invoice)
    assert why(invoice).cause is Cause.NO_WORKER


def test_look_ups_that_wait_for_slots_wait_for_the_account(ground, why):
    invoice = why_cases.waits_for_payer(ground)
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=now(ground.database) - MINUTE)
    assert why(invoice).cause is Cause.WAITS_FOR_ACCOUNT


def test_a_full_account_tells_its_calls_and_who_is_before(ground, why):
    found = why(why_cases.waits_for_account(ground))
    assert "2 of 2 calls are under way" in found.text
    assert "0 orders are before it" in found.text
    assert "1 order is before it" in why(queue(ground.store)).text


def test_an_order_that_is_put_off_tells_until_when(ground, why):
    found = why(why_cases.put_off_by_the_provider(ground))
    assert "asked us to wait (429) until" in found.text
    assert found.next_at - found.since >= timedelta(seconds=600)


def test_what_waits_behind_an_order_that_was_put_off_tells_until_when_too(ground, why):
    made = why_cases.waits_for_payer(ground)
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=now(ground.database) - MINUTE)
    for invoice in (queue(ground.store), made):
        assert "(429)" not in why(invoice).text
    ground.rest(ACCOUNT)
    for invoice in (queue(ground.store), made):
        found = why(invoice)
        assert found.cause is Cause.WAITS_FOR_ACCOUNT
        assert "asked us to wait (429) until" in found.text
        assert found.next_at - now(ground.database) > timedelta(seconds=300)
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=now(ground.database))
    assert why(made).cause is Cause.WAITS_FOR_ACCOUNT, "as soon as it is due: it will not be asked"
    change(ground.database, AGENDA, AGENDA.c.stage == Stage.CHECK.value, due_at=now(ground.database) + MINUTE)
    assert why(made).cause is Cause.WAITS_FOR_PAYER


def test_doubts_tell_the_repeat_that_comes_or_who_decides(ground, why):
    invoice = why_cases.in_doubt(ground)
    assert "the 1st repeat is due at" in why(invoice).text
    judge(ground.store, invoice, InDoubt(reason="no answer within 10 s"))
    assert "the 2nd repeat is due at" in why(invoice).text
    held = why_cases.held_in_doubt(ground)
    assert "a person decides because on_doubt is hold" in why(held).text
    assert why(held).command == f"invoices redrive doubt {held}"


def test_a_provider_that_is_away_while_the_order_is_in_doubt_goes_first(ground, why):
    invoice = why_cases.in_doubt(ground)
    judge(ground.store, invoice, Unreachable(reason="connection refused"))
    found = why(invoice)
    assert found.cause is Cause.PROVIDER_UNREACHABLE
    assert "connection refused" in found.text


def test_a_webhook_tells_its_tries_the_next_and_who_waits_behind(ground, why):
    found = why(why_cases.webhook_waits(ground))
    for said in ("invoice.pending for endpoint ep_", "2 of 12 tries", "status: 503", "try 3 is due at", "1 later"):
        assert said in found.text
    assert found.next_at > found.since


def test_a_breaker_that_is_open_holds_up_a_webhook_that_was_never_tried(ground, database, why):
    endpoint = subscribe(database)
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    assert why(invoice, lambda _: {endpoint: "open"}).cause is not Cause.WEBHOOK_WAITS  # a moment ago
    change(database, DELIVERY, created_at=now(database) - MINUTE)
    found = why(invoice, lambda _: {endpoint: "open"})
    assert found.cause is Cause.WEBHOOK_WAITS
    assert "its breaker is open" in found.text


def test_a_disabled_endpoint_tells_the_command_that_enables_it(ground, why):
    found = why(why_cases.webhook_to_a_disabled_endpoint(ground))
    assert "the shop moves" in found.text
    assert found.command.startswith("invoices endpoints enable ep_")


def test_a_webhook_that_was_given_up_is_told_until_a_newer_one_is_taken(ground, database, why):
    invoice = why_cases.webhook_given_up(ground)
    found = why(invoice)
    assert "was given up after 12 tries" in found.text
    assert "--dead-only" in found.command


def test_an_event_is_behind_only_when_it_should_be_on_the_stream(ground, database, why):
    (invoice,) = pend(ground.store)
    assert why(invoice).cause is Cause.WAITS_FOR_PAYER
    change(database, EVENT, created_at=now(database) - MINUTE)
    assert "no publisher holds the stream's lease" in why(invoice).text
    ground.store.add_standing()
    assert ground.store.publishing.claim_publisher(1, 60)
    assert "a publisher tries, its lease runs until" in why(invoice).text


def test_an_order_that_can_t_be_asked_tells_where_callbacks_go(ground, why):
    found = why(why_cases.cannot_be_asked(ground))
    assert "callbacks go to https://pay.example/callbacks/nebulox" in found.text
    assert "none came for nebulox yet" in found.text
    assert found.command == "invoices callbacks test nebulox"


def test_it_asks_whether_the_address_is_set_where_others_are_paid_and_tells_it_to_nobody_who_sees_only_some(
    ground, database, why
):
    invoice, asks = why_cases.cannot_be_asked(ground), "that address may not be set at the provider"
    (other,) = pend(ground.store)
    assert asks not in why(invoice).text
    judge(ground.store, other, seen("paid"))
    ground.tell_stream()
    assert (
        f"none came for nebulox yet, though invoices of other accounts were paid meanwhile: {asks}" in why(invoice).text
    )
    around = Around(ACCOUNTS, lambda _: None, lambda _: {}, sees=frozenset())
    assert asks not in first_cause(database.read(read_facts, database, invoice, around)).text


def test_an_expired_order_tells_until_when_a_late_payment_counts(ground, why):
    found = why(why_cases.final_and_watched(ground))
    assert found.next_at > found.since + timedelta(hours=23)
    assert "only a payment that comes late" in found.text


def test_it_is_found_by_whatever_show_takes(ground, why):
    (invoice,) = pend(ground.store, provider_ref="ref-77", address="0xabc")
    ground.tell_stream()
    assert why("ref-77") == why("0xabc") == why(invoice)
    assert why("ref-77", account=ACCOUNT).cause is Cause.WAITS_FOR_PAYER
    assert why("ref-77", account="nebulox").cause is Cause.UNKNOWN_ORDER


def test_who_may_not_see_an_endpoint_is_not_told_of_it(ground, database):
    invoice = why_cases.webhook_waits(ground)
    around = Around(ACCOUNTS, lambda _: None, lambda _: {}, sees=frozenset())
    assert first_cause(database.read(read_facts, database, invoice, around)).cause is Cause.CONFIRMING


def test_parked_webhooks_are_parked(ground, database, why):
    endpoint = subscribe(database)
    (invoice,) = pend(ground.store)
    ground.tell_stream()
    change(database, AGENDA, AGENDA.c.lane == endpoint, due_at=None, claims=6)
    found = why(invoice)
    assert found.cause is Cause.PARKED
    assert "Its webhook ended whoever took it up, 6 times" in found.text
    disable_endpoint(database, endpoint)
    assert why(invoice).cause is Cause.PARKED
