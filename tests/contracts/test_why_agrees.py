"""What ``why --all`` counts is what ``why`` says of each of its examples: in every situation, and once it is over."""

from __future__ import annotations

import pytest

from domain.evidence import (
    CalledBack,
    CredentialsRefused,
    InDoubt,
    ProviderRefused,
    RateLimited,
    Unreachable,
    Unreadable,
)
from domain.status import Status
from domain.why import Cause, Verdict, first_cause
from domain.why.patience import Pace
from tests.contracts import why_cases
from tests.contracts.store_cases import change, created, invoice_of, judge, pend, queue, seen
from tests.contracts.why_cases import ACCOUNTS, OTHER_WAYS, SITUATIONS
from workers.store.reads.search import search
from workers.store.reads.why.late import read_overview
from workers.store.reads.why.order import Around, read_facts, read_facts_of_name
from workers.store.tables import AGENDA, INVOICE

#: What a call brings that was not processed.
NO_ANSWERS = [
    CredentialsRefused(reason="HTTP 401: unknown API key"),
    ProviderRefused(reason="HTTP 403: a web page"),
    RateLimited(reason="HTTP 429", retry_after_seconds=60),
    Unreachable(reason="connection refused"),
    Unreadable(reason="HTTP 503: a web page"),
]
CREATES = [*(one for one in NO_ANSWERS if not isinstance(one, Unreadable)), InDoubt(reason="no answer within 10 s")]
#: Each with each; the quick tests have each once.
PAIRS = [
    pytest.param(
        before,
        failing,
        id=f"{type(before).__name__} {type(failing).__name__}",
        marks=() if turn == number else pytest.mark.engines,
    )
    for turn, before in enumerate(CREATES)
    for number, failing in enumerate(NO_ANSWERS)
]
WAYS = [*SITUATIONS.values(), *OTHER_WAYS]


@pytest.fixture
def look(database):
    """All that is late, each cause by its example held against what is told of that one."""

    def why(name):
        around = Around(ACCOUNTS, lambda _: None, lambda _: {})
        found = database.read(search, name, None)
        if found is None:
            return first_cause(database.read(read_facts_of_name, database, name))
        return first_cause(database.read(read_facts, database, found.newest.id, around))

    def ask():
        overview = database.read(read_overview, database, Pace())
        for one in overview.late:
            assert one.example is None or why(one.example).cause is one.cause
        return overview

    return ask


def causes(overview):
    return {one.cause: one.count for one in overview.late}


def recover(ground, name):
    """The provider answers again, and workers are there: made where it is not, and looked up with nothing new."""
    ground.beat("worker")
    found = ground.database.read(search, name, None)
    if found is None:
        return
    invoice = found.newest.id
    if invoice_of(ground.database, invoice).status in {Status.QUEUED, Status.IN_DOUBT}:
        change(ground.database, AGENDA, AGENDA.c.subject == invoice, lease_token=None)
        judge(ground.store, invoice, created())
    word = invoice_of(ground.database, invoice).status
    judge(ground.store, invoice, seen(word))
    ground.tell_stream()


@pytest.mark.parametrize("situation", WAYS, ids=lambda situation: situation.__name__)
def test_each_cause_is_what_its_example_says_and_still_is_when_the_provider_answers(ground, look, situation):
    name = situation(ground)
    look()
    recover(ground, name)
    left = causes(look())
    at_account = {Cause.KEY_REFUSED, Cause.PROVIDER_REFUSES, Cause.PROVIDER_UNREACHABLE, Cause.IN_DOUBT}
    assert not at_account & left.keys()


@pytest.mark.parametrize(("before", "failing"), PAIRS)
def test_what_it_took_to_make_an_invoice_is_over_once_it_is_made(ground, look, before, failing):
    invoice = queue(ground.store)
    judge(ground.store, invoice, before)
    assert sum(causes(look()).values()) == 1
    judge(ground.store, invoice, created())
    ground.tell_stream()
    assert (look().verdict, causes(look())) == (Verdict.OK, {})

    judge(ground.store, invoice, failing)
    assert sum(causes(look()).values()) == 1
    judge(ground.store, invoice, seen("pending"))
    assert (look().verdict, causes(look())) == (Verdict.OK, {})


def test_one_that_is_well_again_does_not_speak_for_those_that_are_not(ground, look):
    """They have in common that nothing was kept since, and what it took to make them."""
    well, ill = (queue(ground.store) for _ in range(2))
    for invoice in (well, ill):
        judge(ground.store, invoice, RateLimited(reason="HTTP 429", retry_after_seconds=60))
        judge(ground.store, invoice, created())
    ground.tell_stream()
    for failing in (Unreachable(reason="connection refused"), CredentialsRefused(reason="HTTP 401: no such key")):
        judge(ground.store, well, failing)
        judge(ground.store, well, seen("pending"))
    judge(ground.store, ill, Unreachable(reason="connection refused"))
    assert causes(look()) == {Cause.PROVIDER_UNREACHABLE: 1}


def test_an_order_says_by_its_reason_what_refuses_it_whatever_was_said_of_it_since(ground, look):
    invoice = why_cases.provider_refuses(ground)
    judge(ground.store, invoice, CalledBack(status=Status.CONFIRMING, word="CONFIRMING"))
    change(ground.database, INVOICE, INVOICE.c.id == invoice, evidence_digest=None)
    assert causes(look()) == {Cause.PROVIDER_REFUSES: 1}


def test_an_order_in_doubt_that_callbacks_let_be_looked_up_counts_once(ground, look):
    first, second = (why_cases.in_doubt(ground) for _ in range(2))
    for invoice in (first, second):
        change(ground.database, INVOICE, INVOICE.c.id == invoice, called_status="paid", asked_by='["1"]')
    ground.tell_stream()
    judge(ground.store, first, Unreachable(reason="connection refused"))
    change(ground.database, INVOICE, INVOICE.c.id == first, create_tries=0)
    judge(ground.store, second, RateLimited(reason="HTTP 429", retry_after_seconds=60))
    pend(ground.store)
    ground.tell_stream()
    assert causes(look()) == {Cause.PROVIDER_UNREACHABLE: 1, Cause.IN_DOUBT: 1}
