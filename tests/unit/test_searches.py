"""An order in doubt at a provider that can be searched: found, proved to be missing, or neither."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import schedule
from domain.asking import twins_of
from domain.decision import Stage
from domain.evidence import Created, Found, InDoubt, NotFound, NotSent, RetryRequested, SearchFailed
from domain.lifecycle import is_to_be_sought
from tests.invoice_world import START, World, new_invoice, new_policy

GRACE = schedule.SEARCH_GRACE_SECONDS


def doubted(invoice: Any = None, **policy: Any) -> World:
    """An order whose create's answer was just lost."""
    world = World(new_invoice(**(invoice or {})), new_policy(searchable=True, **policy))
    world.take(InDoubt(reason="no answer"), Stage.CREATE)
    return world


def look(world: World, evidence: Any) -> Any:
    """Time passes until the search is due, and it brings this."""
    wait = world.due(Stage.CREATE)
    assert wait is not None
    world.pass_time(max(wait, 0.0))
    if isinstance(evidence, NotFound):
        evidence = NotFound(asked_at=world.now, after_lost=evidence.after_lost)
    return world.take(evidence, Stage.CREATE)


def look_until_settled(world: World) -> float:
    """Seconds until nothing more is searched for, with searches that find nothing."""
    began = world.now
    while Stage.CREATE in world.agenda and is_to_be_sought(world.invoice):
        look(world, NotFound())
    return (world.now - began).total_seconds()


@pytest.mark.parametrize("on_doubt", ["retry", "hold"])
def test_a_doubt_is_searched_for_at_once_whatever_on_doubt_says(on_doubt):
    world = doubted(on_doubt=on_doubt)
    assert world.due(Stage.CREATE) == 5
    assert is_to_be_sought(world.invoice)


def test_where_the_provider_can_not_be_searched_on_doubt_decides_as_ever():
    world = World(new_invoice(), new_policy(on_doubt="hold"))
    world.take(InDoubt(reason="no answer"), Stage.CREATE)
    assert Stage.CREATE not in world.agenda


def test_what_is_found_is_bound_and_looked_at_at_once():
    world = doubted()
    decision = look(world, Found(provider_ref="r-1", address="bc1q"))
    assert (decision.event, world.invoice.status) == ("invoice.pending", "pending")
    assert (world.invoice.provider_ref, world.invoice.address) == ("r-1", "bc1q")
    assert world.due(Stage.CHECK) == 0
    assert Stage.CREATE not in world.agenda


def test_a_twin_is_remembered_and_one_that_is_found_later_too():
    world = doubted()
    look(world, Found(provider_ref="r-2", twins='["r-1"]'))
    assert twins_of(world.invoice) == ["r-1"]
    decision = world.take(Found(provider_ref="r-3", twins='["r-1","r-2"]'))
    assert decision.verdict == "noted"
    assert twins_of(world.invoice) == ["r-1", "r-3"]
    assert world.invoice.provider_ref == "r-2"
    assert world.take(Found(provider_ref="r-1")).verdict == "ignored"


def test_right_after_the_call_nothing_found_proves_nothing():
    """The list may lag behind."""
    world, looks = doubted(), []
    while is_to_be_sought(world.invoice):
        look(world, NotFound())
        looks.append((world.now - START).total_seconds())
    assert looks == [5, 20, GRACE]
    assert world.due(Stage.CREATE) == 0


@pytest.mark.parametrize(("doubts", "seconds"), [(0, 60), (1, 60), (2, 120), (3, 600), (4, 1800)])
def test_a_repeat_waits_for_as_long_as_on_doubt_says_and_for_the_grace_at_least(doubts, seconds):
    world = doubted({"doubts": doubts})
    assert look_until_settled(world) == seconds
    assert (world.invoice.sought, world.due(Stage.CREATE)) == (doubts + 1, 0)


@pytest.mark.parametrize(
    ("invoice", "policy"),
    [({}, {"on_doubt": "hold"}), ({"doubts": 5}, {}), ({"create_before": START + timedelta(seconds=1)}, {})],
    ids=["held by the account", "repeated five times", "too late"],
)
def test_what_is_not_repeated_is_looked_for_half_an_hour_and_then_left_to_a_person(invoice, policy):
    world = doubted(invoice, **policy)
    assert look_until_settled(world) == 1800
    assert Stage.CREATE not in world.agenda
    assert world.invoice.status == "in_doubt"


def test_a_repeat_whose_answer_is_lost_too_is_searched_for_anew():
    world = doubted()
    look_until_settled(world)
    look(world, InDoubt(reason="again"))
    assert (world.invoice.doubts, world.invoice.searches) == (2, 0)
    assert is_to_be_sought(world.invoice)


@pytest.mark.parametrize("what", ["a worker that was lost", "a clock that was set back", "an older release"])
def test_where_nobody_knows_when_the_last_call_was_the_grace_begins_anew(what):
    world = doubted()
    world.pass_time(10 * GRACE)
    if what == "a clock that was set back":
        world.invoice.doubted_at = world.now + timedelta(hours=1)
    if what == "an older release":
        world.invoice.doubted_at = None
    look(world, NotFound(after_lost=what == "a worker that was lost"))
    assert is_to_be_sought(world.invoice)
    assert look_until_settled(world) >= GRACE


def test_a_search_that_fails_is_tried_again_and_in_the_end_on_doubt_decides():
    world, waits = doubted(), []
    while is_to_be_sought(world.invoice):
        look(world, SearchFailed(reason="HTTP 500"))
        waits.append(world.due(Stage.CREATE))
    assert waits == [*schedule.SEARCH_RETRY_SECONDS, 0]
    assert world.invoice.sought == world.invoice.doubts == 1


def test_a_failed_search_is_no_leave_to_repeat_what_is_held():
    world = doubted(on_doubt="hold")
    for _ in range(len(schedule.SEARCH_RETRY_SECONDS) + 1):
        look(world, SearchFailed(reason="HTTP 500"))
    assert Stage.CREATE not in world.agenda
    assert is_to_be_sought(world.invoice)


def test_failures_shorten_no_wait_that_on_doubt_asks_for():
    world = doubted({"doubts": 4})
    began = world.now
    while is_to_be_sought(world.invoice):
        look(world, SearchFailed(reason="HTTP 500"))
    assert (world.now - began).total_seconds() >= schedule.DOUBT_RETRY_SECONDS[4]


def test_only_failures_in_a_row_count():
    world = doubted({"doubts": 3})
    for _ in range(len(schedule.SEARCH_RETRY_SECONDS)):
        look(world, SearchFailed(reason="HTTP 500"))
    look(world, NotFound())
    look(world, SearchFailed(reason="HTTP 500"))
    assert is_to_be_sought(world.invoice)
    assert world.due(Stage.CREATE) == schedule.SEARCH_RETRY_SECONDS[0]


def test_a_provider_that_asks_for_patience_gets_it():
    world = doubted()
    look(world, SearchFailed(reason="429", retry_after_seconds=77.0))
    assert world.due(Stage.CREATE) == 77


@pytest.mark.parametrize("on_doubt", ["retry", "hold"])
def test_what_an_operator_wants_again_is_searched_for_first(on_doubt):
    world = doubted(on_doubt=on_doubt)
    look_until_settled(world)
    world.take(RetryRequested(reason="by hand"))
    assert (is_to_be_sought(world.invoice), world.due(Stage.CREATE)) == (True, 0)
    look_until_settled(world)
    assert (is_to_be_sought(world.invoice), world.due(Stage.CREATE)) == (False, 0)
    assert look(world, Created(provider_ref="r-9")).event == "invoice.pending"


def test_a_search_changes_nothing_of_an_order_that_was_given_up():
    world = doubted()
    world.invoice.status, world.invoice.first_open = "cancelled", 0
    for evidence in (NotFound(), SearchFailed(reason="HTTP 500")):
        assert world.take(evidence, Stage.CREATE).verdict == "ignored"
    assert world.take(Found(provider_ref="r-1")).verdict == "contradiction"
    assert world.invoice.provider_ref is None


def test_a_worker_that_was_held_up_before_its_search_costs_nothing_though_create_before_has_passed():
    world = doubted(invoice={"create_before": START + timedelta(seconds=1)})
    world.pass_time(10)
    world.take(NotSent(reason="held up"), Stage.CREATE)
    assert (world.due(Stage.CREATE), world.invoice.search_failures) == (0, 0)
    assert is_to_be_sought(world.invoice)
    assert world.take(Found(provider_ref="r-1"), Stage.CREATE).verdict == "applied"


def test_a_worker_that_is_held_up_after_one_was_lost_keeps_in_mind_that_the_lost_one_may_have_created():
    world = doubted()
    world.pass_time(GRACE)
    world.take(NotSent(reason="held up", after_lost=True), Stage.CREATE)
    look(world, NotFound())
    assert is_to_be_sought(world.invoice)
