"""An order with several accounts: when the next one's turn comes, when it never does, what the invoice says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from domain import evidence as said
from domain.account import Account
from domain.decision import Stage
from domain.evidence import CalledBack, CancelRequested, ClockRanOut
from domain.exact_json import read_json
from domain.fallbacks import check_fallbacks, orders_of, write_fallbacks
from domain.order import OrderError, parse_order
from domain.status import Status
from tests.invoice_world import START, World, new_invoice, new_policy
from tests.unit.invoice_stories import LOST, MADE, REFUSED_KEY, TURNED_AWAY, UNREACHABLE, story

CONFIGURED = {"first": "nebulox", "second": "zeroxhost", "third": "nebulox"}
REFUSED = said.OrderRefused(reason="HTTP 400: the price is too low")
LIMITED = said.RateLimited(reason="HTTP 429")
ORDER = {"account": "first", "order_id": "order-1", "price": "12.50", "currency": "EUR", "params": {"a": 1}}


def queued(*others, configured=CONFIGURED, **fields):
    """An order at its first account, with these others."""
    order = parse_order(ORDER | {"fallback_accounts": list(others)})
    given = {"provider_account": "first", "provider": "nebulox", "price": order.price, "currency": order.currency}
    invoice = new_invoice(**given, params='{"a":1}', fallbacks=write_fallbacks(order), **fields)
    return World(invoice, new_policy(providers=configured))


def account_of(world):
    return world.invoice.provider_account


# ---------------------------------------------------------------- the next one's turn


@pytest.mark.parametrize("evidence", [REFUSED, REFUSED_KEY, TURNED_AWAY], ids=lambda e: type(e).__name__)
def test_after_a_refusal_it_is_the_next_ones_turn_at_once(evidence):
    world = queued("second")
    decision = world.take(evidence, Stage.CREATE)
    invoice = world.invoice
    assert (invoice.status, account_of(world), invoice.provider) == ("queued", "second", "zeroxhost")
    assert invoice.reason == f"first: {evidence.reason}"
    assert (decision.verdict, decision.note) == ("applied", "next: second")
    assert world.due(Stage.CREATE) == 0
    assert invoice.fallbacks is None
    assert story(world) == []


def test_an_account_that_can_not_be_reached_is_tried_twice_before():
    world = queued("second")
    world.take(UNREACHABLE, Stage.CREATE)
    assert account_of(world) == "first"
    assert world.due(Stage.CREATE) <= 2
    world.take(UNREACHABLE, Stage.CREATE)
    assert (account_of(world), world.due(Stage.CREATE)) == ("second", 0)
    world.take(UNREACHABLE, Stage.CREATE)
    assert world.invoice.create_tries == 1  # counted anew


def test_an_account_that_asks_for_patience_is_waited_for():
    world = queued("second")
    for _ in range(20):
        world.take(LIMITED, Stage.CREATE)
    assert account_of(world) == "first"


def test_a_call_that_was_put_off_is_no_try_of_an_account_that_can_not_be_reached():
    world = queued("second")
    world.take(LIMITED, Stage.CREATE)
    world.take(UNREACHABLE, Stage.CREATE)
    assert account_of(world) == "first"
    world.take(LIMITED, Stage.CREATE)
    world.take(UNREACHABLE, Stage.CREATE)
    assert account_of(world) == "first"
    world.take(UNREACHABLE, Stage.CREATE)
    assert account_of(world) == "second"


def test_an_account_that_goes_on_asking_for_patience_is_called_ever_less_often():
    world = queued("second")
    waits = []
    for _ in range(7):
        world.take(LIMITED, Stage.CREATE)
        waits.append(world.due(Stage.CREATE))
    assert waits == [1, 2, 5, 10, 30, 60, 60]


def test_the_others_are_tried_in_the_order_they_were_named_and_the_last_ones_outcome_is_the_orders():
    world = queued("second", "third")
    world.take(said.OrderRefused(reason="one"), Stage.CREATE)
    world.take(said.OrderRefused(reason="two"), Stage.CREATE)
    assert account_of(world) == "third"
    world.take(said.OrderRefused(reason="three"), Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason, account_of(world)) == ("failed", "three", "third")
    assert story(world) == ["failed"]


def test_the_last_account_is_waited_for_as_an_only_one_is():
    world = queued("second")
    world.take(REFUSED_KEY, Stage.CREATE)
    world.take(REFUSED_KEY, Stage.CREATE)
    assert (world.invoice.status, world.invoice.reason) == ("queued", "credentials_refused")
    assert world.due(Stage.CREATE) > 0
    assert world.due(Stage.CLOCK) == 600


def test_one_that_makes_it_ends_the_chain():
    world = queued("second", "third")
    world.take(REFUSED, Stage.CREATE)
    world.take(MADE, Stage.CREATE)
    assert (world.invoice.status, account_of(world), world.invoice.fallbacks) == ("pending", "second", None)
    assert (world.invoice.reason, story(world)) == (None, ["pending"])


def test_each_is_asked_for_what_its_entry_says_and_else_for_what_the_order_says():
    world = queued({"account": "second", "price": "9.990", "currency": "usd", "params": {"b": 2}}, "third")
    world.take(REFUSED, Stage.CREATE)
    invoice = world.invoice
    assert (str(invoice.price), invoice.currency, invoice.params) == ("9.990", "USD", '{"b":2}')
    world.take(REFUSED, Stage.CREATE)
    assert (str(invoice.price), invoice.currency, invoice.params) == ("12.50", "EUR", '{"a":1}')


def test_an_account_that_is_no_longer_configured_is_passed_over_and_that_is_said():
    world = queued("gone", "third", configured=CONFIGURED)
    assert world.take(REFUSED, Stage.CREATE).note == "gone is no longer configured; next: third"
    assert account_of(world) == "third"


def test_where_none_of_the_others_is_configured_the_order_ends_as_it_would_without_them():
    world = queued("gone", "lost")
    world.take(REFUSED, Stage.CREATE)
    assert (world.invoice.status, account_of(world)) == ("failed", "first")


# ---------------------------------------------------------------- never


def test_a_doubt_ends_the_chain_whatever_comes_after_it():
    world = queued("second")
    world.take(LOST, Stage.CREATE)
    for evidence in (REFUSED, REFUSED_KEY, TURNED_AWAY, UNREACHABLE, UNREACHABLE, UNREACHABLE):
        world.take(evidence, Stage.CREATE)
        assert (account_of(world), world.invoice.status) == ("first", "in_doubt")
    assert world.invoice.fallbacks is None


def test_a_doubt_at_the_second_never_reaches_the_third():
    world = queued("second", "third")
    world.take(REFUSED, Stage.CREATE)
    world.take(LOST, Stage.CREATE)
    world.take(REFUSED, Stage.CREATE)
    assert (account_of(world), world.invoice.status) == ("second", "in_doubt")


def test_an_account_whose_callback_came_first_has_the_order_whatever_it_answers():
    world = queued("second")
    world.take(CalledBack(status=Status.PENDING, word="waiting", order_id="order-1", reference="t-1"))
    world.take(REFUSED, Stage.CREATE)
    assert account_of(world) == "first"
    assert world.invoice.status == "failed"


def test_an_order_that_is_too_late_goes_nowhere():
    world = queued("second", create_before=START + timedelta(seconds=5))
    world.pass_time(5)
    world.take(REFUSED, Stage.CREATE)
    assert (world.invoice.status, account_of(world)) == ("failed", "first")


def test_too_late_counts_at_the_next_account_too():
    world = queued("second", create_before=START + timedelta(seconds=5))
    world.take(REFUSED, Stage.CREATE)
    assert world.due(Stage.CLOCK) == 5
    world.pass_time(5)
    world.take(ClockRanOut(), Stage.CLOCK)
    assert (world.invoice.status, world.invoice.reason) == ("failed", "too_late")


def test_a_cancelled_order_goes_nowhere():
    world = queued("second")
    world.take(CancelRequested(reason="gone"))
    world.take(REFUSED)
    assert (world.invoice.status, account_of(world), world.invoice.fallbacks) == ("cancelled", "first", None)


# ---------------------------------------------------------------- at intake

ACCOUNTS = {
    name: Account(name=name, provider=provider, base_url="http://h", api_key="k")
    for name, provider in CONFIGURED.items()
}


def refuse_zeroxhost_without_user(order, account):
    if account.provider == "zeroxhost" and "user_id" not in order.params:
        raise OrderError("params.user_id: is required")
    if account.provider == "zeroxhost" and order.lifetime_minutes is not None:
        raise OrderError("lifetime_minutes: not taken")


def checked(*others, **fields):
    order = parse_order(ORDER | {"fallback_accounts": list(others)} | fields)
    check_fallbacks(order, ACCOUNTS, refuse_zeroxhost_without_user)
    return order


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        (["third", "nowhere"], "fallback_accounts.1: there is no account 'nowhere'"),
        (["second"], "fallback_accounts.0: params.user_id: is required"),
        (["third", {"account": "second", "params": {}}], "fallback_accounts.1: params.user_id: is required"),
        (
            [{"account": "third", "price": "1.005"}],
            "fallback_accounts.0: price: EUR takes at most 2 decimals (more by the account's price_decimals)",
        ),
        (
            [{"account": "third", "currency": "JPY"}],
            "fallback_accounts.0: price: JPY takes no decimals (more by the account's price_decimals)",
        ),
    ],
)
def test_an_order_that_one_of_its_accounts_could_not_take_is_refused_by_entry(others, reason):
    with pytest.raises(OrderError) as caught:
        checked(*others)
    assert str(caught.value) == reason


def test_a_lifetime_is_no_obstacle_where_the_provider_gives_one():
    assert checked({"account": "second", "params": {"user_id": "1"}}, lifetime_minutes=30).lifetime_minutes == 30


def test_what_is_kept_holds_every_digit_and_all_that_each_is_asked_for():
    order = checked({"account": "third", "price": "0.100000000000000055", "currency": "ETH"})
    assert read_json(write_fallbacks(order) or "[]") == [
        {"account": "third", "price": "0.100000000000000055", "currency": "ETH", "params": {"a": 1}}
    ]
    assert [other.price for other in orders_of(order)] == [Decimal("0.100000000000000055")]


@pytest.mark.parametrize("listed", [None, []])
def test_an_order_without_other_accounts_keeps_nothing(listed):
    assert write_fallbacks(parse_order(ORDER | {"fallback_accounts": listed})) is None


# ---------------------------------------------------------------- a worker that was held up


@pytest.mark.parametrize("before", [0, 1], ids=["it was reached so far", "it could not be reached before"])
def test_a_worker_that_was_held_up_is_no_reason_to_leave_an_account(before):
    world = queued("second")
    for _ in range(before):
        world.take(UNREACHABLE, Stage.CREATE)
    for _ in range(5):
        world.take(said.NotSent(reason="held up"), Stage.CREATE)
        world.pass_time(1)
    assert (account_of(world), world.invoice.create_tries, world.due(Stage.CREATE)) == ("first", before, -1)
    assert world.take(MADE, Stage.CREATE).verdict == "applied"


def test_a_worker_that_was_held_up_sets_back_no_count_of_an_account_that_is_down():
    world = queued("second")
    for evidence in (UNREACHABLE, said.NotSent(reason="held up"), UNREACHABLE):
        world.take(evidence, Stage.CREATE)
    assert account_of(world) == "second"
