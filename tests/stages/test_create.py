"""CREATE as the pump runs it: what is called, and what is better not called any more."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest
from structlog.testing import capture_logs

from domain.account import Account
from domain.decision import Stage
from domain.evidence import Created, InDoubt, NotSent, ProviderRefused
from workers.coordination.rate_limit import RateLimit
from workers.stages import ProviderStages
from workers.stages.provider import COMMIT_MARGIN_SECONDS, LEASE_MARGIN_SECONDS
from workers.store.agenda import Claim, lease_clock

TIMEOUT_SECONDS = 5.0
LEASE_SECONDS = TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS
ACCOUNT = Account(
    name="shop", provider="nebulox", base_url="http://127.0.0.1:1", api_key="key", timeout_seconds=TIMEOUT_SECONDS
)
INVOICE = SimpleNamespace(
    id="inv_1",
    order_id="1",
    status="queued",
    create_before=None,
    price=None,
    currency="EUR",
    pay_currency=None,
    network=None,
    params="{}",
    doubts=0,
    created_at=datetime.now(UTC),
)


class Counting:
    """A provider that makes every invoice."""

    can_be_asked = False
    can_search = staticmethod(lambda _account: False)

    def __init__(self):
        self.calls = 0

    async def create(self, request, account):
        self.calls += 1
        return Created(provider_ref="r-1")


def create(*, lost=False, held_up_seconds=0.0, after_claim=lambda: None):
    """(what a claim of so long ago brings, how often the provider was called)."""
    provider, store = cast("Any", Counting()), cast("Any", Mock())  # no store: nothing is claimed or committed here
    over_at = lease_clock() - held_up_seconds + LEASE_SECONDS
    after_claim()
    claim = Claim(Stage.CREATE, "shop", "inv_1", "t", lost, datetime.now(UTC), over_at)

    async def perform():
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
        work, _ = ProviderStages(store, {"shop": ACCOUNT}, {"nebulox": provider}, rate).works()
        assert work.perform is not None
        return await work.perform("shop", [(claim, INVOICE, None)])

    (judgement,) = asyncio.run(perform())
    assert judgement.claim is claim
    return judgement.evidence, provider.calls


def test_a_claim_is_called_once():
    evidence, calls = create()
    assert (type(evidence), calls) == (Created, 1)


def test_a_row_whose_holder_was_lost_is_in_doubt_and_not_called():
    evidence, calls = create(lost=True)
    assert (type(evidence), calls) == (InDoubt, 0)


@pytest.mark.parametrize("lost", [False, True])
def test_what_a_create_brings_is_never_the_last_look_at_a_payment(lost):
    """Judged beside the answer of the worker that was only late, whose invoice's time is over, it expired that unseen
    (``python -m tests.simulation --seed 1006 --profile 'long freezes'``)."""
    evidence, _ = create(lost=lost)
    assert evidence.asked_at is None


@pytest.mark.parametrize(
    "seconds",
    [LEASE_MARGIN_SECONDS - COMMIT_MARGIN_SECONDS, LEASE_MARGIN_SECONDS + 1, LEASE_SECONDS, 10 * LEASE_SECONDS],
)
def test_a_worker_that_was_held_up_until_its_lease_can_not_cover_the_call_and_its_commit_does_not_call(seconds):
    """Stopped, or its claim's answer was: another may count the call as lost, call again, and bill twice."""
    evidence, calls = create(held_up_seconds=seconds)
    assert (type(evidence), calls) == (NotSent, 0)
    assert "nothing was sent" in evidence.reason


def test_a_worker_that_was_held_up_for_less_than_the_margin_calls():
    evidence, calls = create(held_up_seconds=(LEASE_MARGIN_SECONDS - COMMIT_MARGIN_SECONDS) / 2)
    assert (type(evidence), calls) == (Created, 1)


def test_a_worker_whose_host_was_suspended_meanwhile_does_not_call(monkeypatch):
    """The monotonic clock of Linux stood still; the one that counts the time since the start did not."""
    before = time.clock_gettime
    suspended = {getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC): LEASE_SECONDS}
    evidence, calls = create(
        after_claim=lambda: monkeypatch.setattr(time, "clock_gettime", lambda one: before(one) + suspended.get(one, 0))
    )
    assert (type(evidence), calls) == (NotSent, 0)


class Firewall:
    """Something in front of a provider that turns the orders named away, and makes the others' invoices."""

    can_be_asked = False
    can_search = staticmethod(lambda _account: False)

    def __init__(self, *turned_away):
        self.turned_away = set(turned_away)
        self.calls = []

    async def create(self, request, account):
        self.calls.append(request.invoice_id)
        if request.invoice_id in self.turned_away:
            return ProviderRefused(reason="HTTP 403: a web page")
        return Created(provider_ref=request.invoice_id)


def create_each(firewall, *ids):
    """What a create of each brings, one after the other."""

    async def perform():
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
        providers: Any = {"nebulox": firewall}
        work, _ = ProviderStages(cast("Any", Mock()), {"shop": ACCOUNT}, providers, rate).works()
        assert work.perform is not None
        found = []
        for one in ids:
            claim = Claim(Stage.CREATE, "shop", one, "t", False, datetime.now(UTC), lease_clock() + LEASE_SECONDS)
            (judgement,) = await work.perform("shop", [(claim, SimpleNamespace(**vars(INVOICE) | {"id": one}), None)])
            found.append(type(judgement.evidence))
        return found

    return asyncio.run(perform())


def test_an_account_that_turns_order_after_order_away_is_not_called_for_each():
    firewall = Firewall(*"abcdefgh")
    assert create_each(firewall, *"abcdefgh") == [ProviderRefused] * 8
    assert firewall.calls == list("abc")


def test_one_order_that_a_firewall_dislikes_holds_up_no_other():
    firewall = Firewall("bad")
    found = create_each(firewall, "bad", "bad", "bad", "bad", "a", "bad", "b")
    assert found == [ProviderRefused] * 4 + [Created, ProviderRefused, Created]
    assert len(firewall.calls) == 7


class Skewed:
    """A provider whose clock shows another time by so many seconds."""

    can_be_asked = True
    can_search = staticmethod(lambda _account: False)

    def __init__(self, *offsets):
        self.offsets = list(offsets)

    async def create(self, request, account):
        date = datetime.now(UTC) + timedelta(seconds=self.offsets.pop(0))
        expires_at = date + timedelta(minutes=90)
        return Created(provider_ref="r", made_at=date, expires_at=expires_at, lifetime_minutes=Decimal(90))


def made_by(provider, count, **fields):
    """(what each of so many creates brings, what was logged of the provider's clock)."""

    async def perform():
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
        providers: Any = {"nebulox": provider}
        work, _ = ProviderStages(cast("Any", Mock()), {"shop": ACCOUNT}, providers, rate).works()
        assert work.perform is not None
        found: list[Any] = []
        for _ in range(count):
            claim = Claim(Stage.CREATE, "shop", "inv_1", "t", False, datetime.now(UTC), lease_clock() + LEASE_SECONDS)
            (judgement,) = await work.perform("shop", [(claim, SimpleNamespace(**vars(INVOICE) | fields), None)])
            found.append(judgement.evidence)
        return found

    with capture_logs() as logs:
        found = asyncio.run(perform())
    return found, [log["event"] for log in logs if log["event"].startswith("provider.clock")]


def test_an_expiry_by_a_clock_that_is_hours_behind_is_counted_by_ours():
    hours, lifetime = 3 * 3600.0, timedelta(minutes=90)
    before = datetime.now(UTC)
    behind, ahead, right = made_by(Skewed(-hours, hours, 0), 3)[0]
    after = datetime.now(UTC)
    assert before + lifetime <= behind.expires_at <= after + lifetime
    assert behind.disbelieved_expires_at is not None
    assert [abs(abs(one.clock_off_seconds) - hours) <= 60 for one in (behind, ahead)] == [True, True]
    assert ahead.expires_at >= before + lifetime + timedelta(hours=2.9)
    assert (right.clock_off_seconds, right.disbelieved_expires_at) == (None, None)


def test_a_clock_that_is_off_is_logged_once_an_episode():
    _, logged = made_by(Skewed(-7200, -7200, 7200, 0, 0, -7200), 6)
    assert logged == ["provider.clock_off", "provider.clock_agrees", "provider.clock_off"]


def test_a_repeat_that_is_answered_with_what_an_earlier_call_made_says_nothing_of_the_clock():
    """Of an order in doubt: the provider had made it ten minutes ago."""
    ordered_at = datetime.now(UTC) - timedelta(minutes=12)
    found, logged = made_by(Skewed(-600), 1, status="in_doubt", doubts=1, created_at=ordered_at)
    assert (found[0].clock_off_seconds, logged) == (None, [])
    assert found[0].disbelieved_expires_at is None
