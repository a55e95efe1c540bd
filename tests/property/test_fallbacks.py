"""Whatever accounts answer: no order goes to another account once one may have it, and none is stuck."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import evidence as said
from domain.decision import Stage
from domain.evidence import ClockRanOut, Created, Evidence
from domain.fallbacks import write_fallbacks
from domain.order import parse_order
from domain.schedule import TRIES_BEFORE_FALLBACK
from domain.status import Status
from tests.examples import examples
from tests.invoice_world import World, new_invoice, new_policy

NAMES = ("one", "two", "three", "four", "five", "six")

certain = st.sampled_from([said.OrderRefused, said.CredentialsRefused, said.ProviderRefused, said.Unreachable])
answers = st.one_of(
    certain.map(lambda kind: kind(reason="no")),
    st.just(said.InDoubt(reason="lost")),
    st.just(said.RateLimited(reason="slow down", retry_after_seconds=1)),
    st.builds(Created, provider_ref=st.just("ref")),
)


def at_first(others: list[str], configured: set[str]) -> World:
    order = parse_order({"account": "zero", "order_id": "o", "fallback_accounts": others})
    invoice = new_invoice(provider_account="zero", fallbacks=write_fallbacks(order))
    return World(invoice, new_policy(providers={"zero": "p"} | dict.fromkeys(configured, "p")))


@settings(max_examples=examples(400))
@given(
    st.lists(st.sampled_from(NAMES), max_size=5, unique=True),
    st.sets(st.sampled_from(NAMES)),
    st.lists(answers, max_size=25),
)
def test_one_account_after_the_other_and_none_after_a_doubt(others, configured, history):
    world = at_first(others, configured)
    chain = ["zero", *(name for name in others if name in configured)]
    calls: list[tuple[str, Evidence]] = []
    for evidence in history:
        if Stage.CREATE not in world.agenda:
            break
        world.pass_time(max(world.due(Stage.CREATE) or 0.0, 0.0))
        clock = world.due(Stage.CLOCK)
        if clock is not None and clock <= 0:
            world.take(ClockRanOut(), Stage.CLOCK)
            continue
        calls.append((world.invoice.provider_account, evidence))
        world.take(evidence, Stage.CREATE)

    called = list(dict.fromkeys(account for account, _ in calls))
    assert called == chain[: len(called)]
    for (account, evidence), (following, _) in itertools.pairwise(calls):
        if following != account:
            assert not isinstance(evidence, (said.InDoubt, said.RateLimited, Created))
    doubts = [place for place, (_, evidence) in enumerate(calls) if isinstance(evidence, said.InDoubt)]
    if doubts:
        assert {account for account, _ in calls[doubts[0] :]} == {calls[doubts[0]][0]}
    if world.invoice.status == Status.QUEUED:
        assert Stage.CREATE in world.agenda
    if world.invoice.status == Status.FAILED:
        assert world.invoice.provider_account == chain[-1]  # nobody is given up before the last was asked


@given(st.integers(0, 5), st.sampled_from([said.OrderRefused, said.CredentialsRefused, said.Unreachable]))
def test_the_chain_takes_seconds_not_minutes(others, kind):
    world = at_first(list(NAMES[:others]), set(NAMES))
    spent = 0.0
    while world.invoice.provider_account != [*["zero"], *NAMES[:others]][-1]:
        spent += world.due(Stage.CREATE) or 0.0
        world.pass_time(world.due(Stage.CREATE) or 0.0)
        world.take(kind(reason="no"), Stage.CREATE, jitter=1.0)
    assert spent <= others * (TRIES_BEFORE_FALLBACK - 1) * 1.2
