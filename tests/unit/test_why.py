"""Precedence as a table: of two causes that hold at once the one that stands first in the contract is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest

from domain.decision import Stage
from domain.evidence import FAILED_LOOK_UP
from domain.status import Status
from domain.why import Cause, Late, Verdict, assess_health, first_cause
from domain.why.facts import Against, Facts, Planned, Rejected, Said, Untold, Webhook
from domain.why.processes import Crew, Process
from domain.why.words import nth, quoted, times
from tests.invoice_world import START, new_invoice

NOW = START + timedelta(hours=1)
AGO = timedelta(minutes=5)
SOON = timedelta(minutes=5)
ACCOUNT = new_invoice().provider_account
AT_WORK = Process("worker", "host:1", NOW, NOW, frozenset({ACCOUNT}))
CREW = Crew(NOW, [AT_WORK, Process("intake", "host:2", NOW)])
NOBODY = Crew(NOW, [Process("worker", "host:1", NOW - AGO)])
FAILED = FAILED_LOOK_UP + "0" * 63

#: In the contract's words.
PRECEDENCE = [
    "rejected_message",
    "unknown_order",
    "contradiction",
    "parked",
    "key_refused",
    "provider_refuses",
    "no_worker",
    "provider_unreachable",
    "in_doubt",
    "webhook_waits",
    "stream_behind",
    "in_call",
    "waits_for_account",
    "cannot_be_asked",
    "confirming",
    "waits_for_payer",
    "final",
]


def an_invoice(**fields):
    invoice = new_invoice()
    beside = {"id": "inv_1", "created_at": START, "status": "pending", "evidence_digest": None}
    for name, value in (beside | fields).items():
        setattr(invoice, name, value)
    return invoice


def row(stage, due_at, **fields):
    return Planned(**({"stage": stage, "due_at": due_at, "leased": False, "claims": 1, "lane": ACCOUNT} | fields))


def webhook(**fields):
    given: dict[str, Any] = {
        "number": 1,
        "endpoint": "ep_1",
        "type": "invoice.pending",
        "created_at": NOW - AGO,
        "tries": 1,
        "dead": False,
        "next_try_at": NOW + SOON,
        "behind": 0,
        "error": "status: 503",
        "tried_at": NOW - AGO,
        "disabled_at": None,
        "disabled_reason": None,
    }
    return Webhook(**(given | fields))


def said(kind):
    return Said("create", kind, "so it said", NOW - AGO)


def looks(kind):
    """Of a made invoice, whose look-ups bring this."""
    return {"invoice": {"status": "pending", "evidence_digest": FAILED}, "said": said(kind)}


#: What makes each cause hold, put over a pending invoice that is looked up in a while.
HOLDS: dict[str, dict[str, Any]] = {
    "contradiction": {"against": Against(NOW - AGO, "status: paid", "look-up")},
    "parked": {"agenda": [row(Stage.CHECK, None, claims=6)]},
    "key_refused": looks("CredentialsRefused"),
    "provider_refuses": looks("ProviderRefused"),
    "no_worker": {"crew": NOBODY, "agenda": [row(Stage.CHECK, NOW - AGO)]},
    "provider_unreachable": looks("Unreachable"),
    "in_doubt": {"invoice": {"status": "in_doubt"}, "agenda": [row(Stage.CREATE, NOW + SOON)]},
    "webhook_waits": {"webhooks": [webhook()]},
    "stream_behind": {"untold": Untold("invoice.pending", NOW - AGO, 7, None)},
    "in_call": {"agenda": [row(Stage.CHECK, NOW + SOON, leased=True)]},
    "waits_for_account": {"invoice": {"status": "queued"}, "agenda": [row(Stage.CREATE, NOW - AGO)]},
    "cannot_be_asked": {
        "invoice": {"status": "pending", "provider_ref": "1"},
        "agenda": [row(Stage.CLOCK, NOW + SOON)],
    },
    "confirming": {"invoice": {"status": "confirming"}},
    "waits_for_payer": {"invoice": {"status": "pending"}},
    "final": {"invoice": {"status": "paid"}},
}


def facts(*causes):
    """In which all of these hold, as far as they can: one invoice has one status, the first's."""
    given: dict[str, Any] = {"invoice": {}, "agenda": [], "crew": CREW}
    for cause in reversed(causes):
        held = HOLDS[cause]
        given["invoice"] |= held.get("invoice", {})
        given["agenda"] = given["agenda"] + held.get("agenda", [])
        given |= {name: value for name, value in held.items() if name not in {"invoice", "agenda"}}
    invoice = an_invoice(**given.pop("invoice"))
    return Facts(name="order-1", now=NOW, invoice=invoice, **given)


def test_the_causes_are_the_contract_s_in_its_order():
    assert list(Cause) == PRECEDENCE


@pytest.mark.parametrize("cause", HOLDS)
def test_each_holds_alone(cause):
    assert first_cause(facts(cause)).cause == cause


@pytest.mark.parametrize(("first", "second"), list(combinations(HOLDS, 2)))
def test_of_two_the_first_is_told(first, second):
    assert first_cause(facts(first, second)).cause == first


def test_what_is_no_order_was_rejected_or_is_unknown():
    nothing = Facts(name="order-1", now=NOW, crew=CREW)
    assert first_cause(nothing).cause is Cause.UNKNOWN_ORDER
    rejected = replace(nothing, rejected=Rejected(7, NOW - AGO, "price: must be greater than 0", complete=False))
    assert first_cause(rejected).cause is Cause.REJECTED_MESSAGE
    assert "it can't be sent again" in first_cause(rejected).text


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (Status.QUEUED, Cause.WAITS_FOR_ACCOUNT),
        (Status.IN_DOUBT, Cause.IN_DOUBT),
        (Status.PENDING, Cause.WAITS_FOR_PAYER),
        (Status.PARTIALLY_PAID, Cause.WAITS_FOR_PAYER),
        (Status.CONFIRMING, Cause.CONFIRMING),
        (Status.PAID, Cause.FINAL),
        (Status.EXPIRED, Cause.FINAL),
        (Status.FAILED, Cause.FINAL),
        (Status.CANCELLED, Cause.FINAL),
        (Status.REFUNDED, Cause.FINAL),
    ],
)
def test_every_status_has_a_cause_with_nothing_planned_at_all(status, cause):
    facts = Facts(name="order-1", now=NOW, crew=CREW, invoice=an_invoice(status=status.value))
    assert first_cause(facts).cause is cause


@pytest.mark.parametrize(("seen_ago", "alive"), [(14.9, True), (15.1, False), (-14.9, True), (-15.1, False)], ids=str)
def test_a_process_is_alive_for_fifteen_seconds_whichever_way_a_clock_was_set(seen_ago, alive):
    crew = Crew(NOW, [Process("worker", "host:1", NOW - timedelta(seconds=seen_ago))])
    assert bool(crew.alive("worker")) is alive
    assert crew.gone(["worker", "web"]) == ([] if alive else ["worker"])


#: Late work, the workers, the oldest work not taken up.
LATE = [Late(Cause.IN_DOUBT, 3, NOW - AGO, "inv_1")]
REJECTED = [Late(Cause.REJECTED_MESSAGE, 3, NOW - AGO, "7")]


@pytest.mark.parametrize(
    ("late", "crew", "due_since", "verdict"),
    [
        ([], CREW, None, Verdict.OK),
        (REJECTED, CREW, None, Verdict.OK),
        (LATE, CREW, None, Verdict.DEGRADED),
        ([], Crew(NOW, [AT_WORK]), None, Verdict.OK),
        ([], Crew(NOW, [AT_WORK, Process("intake", "host:2", NOW - AGO)]), None, Verdict.DEGRADED),
        ([], Crew(NOW, []), None, Verdict.STALLED),
        ([], NOBODY, None, Verdict.STALLED),
        (LATE, CREW, NOW - AGO, Verdict.DEGRADED),
        ([], Crew(NOW, [replace(AT_WORK, moved_at=NOW - AGO)]), NOW - AGO, Verdict.STALLED),
        ([], Crew(NOW, [replace(AT_WORK, moved_at=None)]), NOW - AGO, Verdict.STALLED),
        ([], Crew(NOW, [replace(AT_WORK, moved_at=NOW - AGO)]), NOW - timedelta(seconds=30), Verdict.OK),
    ],
)
def test_the_verdict(late, crew, due_since, verdict):
    assert assess_health(late, crew, due_since) is verdict


def test_numbers_and_words():
    assert [nth(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"]
    )
    assert [times(number) for number in (1, 2, 3)] == ["once", "twice", "3 times"]
    assert quoted("a\n b") == " (a b)"
    assert quoted(None) == quoted("") == ""
    assert len(quoted("x" * 1000)) == 163
