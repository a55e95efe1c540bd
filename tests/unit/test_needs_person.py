"""When a cause needs a person: what is tried again by itself does not, until it has waited for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.why import Cause, Why
from domain.why.person import PATIENCE, needs_person
from domain.why.sentence import say

NOW = datetime(2026, 11, 28, 20, 36, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)


def why(cause: Cause, *, since: datetime | None = NOW, next: str | None = "it is tried again", **fields):  # noqa: A002
    return Why(cause=cause, text=say("It waits."), since=since, next=say(next) if next else None, **fields)


@pytest.mark.parametrize(
    "cause", ["rejected_message", "contradiction", "parked", "key_refused", "provider_refuses", "no_worker"]
)
def test_what_only_a_person_can_settle_needs_one_from_the_start(cause):
    assert needs_person(why(Cause(cause), next_at=SOON), NOW)


@pytest.mark.parametrize(
    "cause",
    ["final", "waits_for_payer", "confirming", "cannot_be_asked", "waits_for_account", "in_call", "unknown_order"],
)
def test_what_goes_as_it_has_to_needs_nobody_however_long_it_takes(cause):
    assert not needs_person(why(Cause(cause), since=NOW - timedelta(days=30), next=None), NOW)


def test_an_invoice_in_doubt_that_is_created_again_by_itself_needs_nobody():
    assert not needs_person(why(Cause.IN_DOUBT, since=NOW - timedelta(hours=5), next_at=SOON), NOW)


def test_an_invoice_in_doubt_that_waits_for_a_decision_needs_a_person():
    assert needs_person(why(Cause.IN_DOUBT, next=None), NOW)


@pytest.mark.parametrize("cause", ["webhook_waits", "provider_unreachable", "stream_behind"])
def test_what_is_tried_again_by_itself_needs_a_person_once_it_has_waited_for_long(cause):
    assert not needs_person(why(Cause(cause), since=NOW - PATIENCE + timedelta(seconds=1), next_at=SOON), NOW)
    assert needs_person(why(Cause(cause), since=NOW - PATIENCE, next_at=SOON), NOW)


def test_a_webhook_that_is_tried_no_more_needs_a_person_at_once():
    assert needs_person(why(Cause.WEBHOOK_WAITS, next=None), NOW)
