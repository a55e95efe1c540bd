"""CHECK as the pump runs it: how long a look-up may take, and what its answer means for the whole account."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from domain.account import Account
from domain.decision import Stage
from domain.evidence import CredentialsRefused, Evidence, RateLimited, Seen, Unreachable, Unreadable
from domain.status import Status
from workers.coordination.rate_limit import RateLimit
from workers.engine import Work
from workers.providers.answer import Answer
from workers.providers.call import Call
from workers.providers.zeroxhost.adapter import ZeroxHost
from workers.providers.zeroxhost.look_up import FEW, PER_PAGE
from workers.stages import ProviderStages
from workers.store.agenda import Claim, lease_clock

HASTY_SECONDS = 0.02
PATIENCE_SECONDS = 60  #: for what has to end by itself long before


def account(timeout_seconds: float = 5.0) -> Account:
    return Account(
        name="shop", provider="zeroxhost", base_url="http://127.0.0.1:1", api_key="key", timeout_seconds=timeout_seconds
    )


class Provider:
    """A provider with this answer for whatever it is asked about."""

    can_be_asked = True
    asked_by_reference = False
    can_search = staticmethod(lambda _account: False)

    def __init__(self, answer: Callable[[], Evidence]) -> None:
        self._answer = answer

    async def look_up(self, refs: list[str], account: Account) -> Mapping[str, Evidence]:
        return {ref: self._answer() for ref in refs}


class Hanging(Provider):
    """One that never answers."""

    def __init__(self) -> None:
        self.given_up = False

    async def look_up(self, refs: list[str], account: Account) -> Mapping[str, Evidence]:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.given_up = True
        raise AssertionError


def check_work(provider: Provider, timeout_seconds: float = 5.0) -> Work:
    """The CHECK stage of an account at this provider."""
    rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
    providers: Any = {"zeroxhost": provider}
    stages = ProviderStages(cast("Any", Mock()), {"shop": account(timeout_seconds)}, providers, rate)
    _, work = stages.works()
    return work


async def look_up(work: Work, *refs: str | None) -> list[Evidence]:
    """What a claim of invoices with these ids at the provider brings."""
    items = [
        (
            Claim(Stage.CHECK, "shop", f"inv_{number}", "t", False, datetime.now(UTC), lease_clock() + 60),
            SimpleNamespace(id=f"inv_{number}", provider_ref=ref, twins=None),
        )
        for number, ref in enumerate(refs)
    ]
    assert work.perform is not None
    judgements = await asyncio.wait_for(work.perform("shop", items), PATIENCE_SECONDS)
    assert [judgement.claim for judgement in judgements] == [claim for claim, _ in items]
    return [judgement.evidence for judgement in judgements]


def test_a_look_up_that_never_returns_is_given_up_and_says_so_of_every_invoice():
    provider = Hanging()
    found = asyncio.run(look_up(check_work(provider, HASTY_SECONDS), "1", "2"))
    assert [type(evidence) for evidence in found] == [Unreadable, Unreadable]
    assert {evidence.reason for evidence in found if isinstance(evidence, Unreadable)} == {
        "no answer to the look-up within its time"
    }
    assert provider.given_up


@pytest.mark.parametrize(("asked_for", "paused"), [(None, True), (30.0, True), (0.0, True)])
def test_an_account_that_a_look_up_was_told_to_leave_alone_is_left_alone(asked_for, paused):
    async def story() -> tuple[int, float, int]:
        provider = Provider(lambda: RateLimited(reason="HTTP 429", retry_after_seconds=asked_for))
        work = check_work(provider)
        assert work.admission is not None
        before, _ = await work.admission.admit("shop", 3)
        await look_up(work, "1")
        granted, wait = await work.admission.admit("shop", 3)
        return before, wait, granted

    before, wait, granted = asyncio.run(story())
    assert (before, granted, wait > 0) == (3, 0, paused)


def test_a_payment_seen_by_a_look_up_leaves_the_account_as_it_was():
    async def story() -> tuple[list[Evidence], int]:
        work = check_work(Provider(lambda: Seen(status=Status.PAID, word="Paid")))
        found = await look_up(work, "1", None)
        assert work.admission is not None
        return found, (await work.admission.admit("shop", 3))[0]

    (paid, unasked), granted = asyncio.run(story())
    assert isinstance(paid, Seen)
    assert type(unasked).__name__ == "ClockRanOut"  # it has no id at the provider: nobody was asked
    assert granted == 3


def test_a_key_that_a_look_up_finds_refused_is_not_tried_by_the_creates_either():
    calls: list[str] = []

    class Refusing(Provider):
        async def create(self, request: Any, account: Account) -> Evidence:
            calls.append(request.invoice_id)
            return Unreachable(reason="not to be reached")

    provider = Refusing(lambda: CredentialsRefused(reason="HTTP 401"))
    rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
    providers: Any = {"zeroxhost": provider}
    create, check = ProviderStages(cast("Any", Mock()), {"shop": account()}, providers, rate).works()
    claim = Claim(Stage.CREATE, "shop", "inv_9", "t", False, datetime.now(UTC), lease_clock() + 60)
    invoice = SimpleNamespace(id="inv_9", order_id="9", status="queued", create_before=None, doubts=0)

    async def story() -> Evidence:
        await look_up(check, "1")
        assert create.perform is not None
        (judgement,) = await create.perform("shop", [(claim, invoice, None)])
        evidence: Evidence = judgement.evidence
        return evidence

    assert isinstance(asyncio.run(story()), CredentialsRefused)
    assert calls == []


# ---------------------------------------------------------------- 0xhost's own: pages and single look-ups, one time-out


class SlowCall:
    """Answers a page of the list each time, and only after the time-out of the whole look-up."""

    def __init__(self) -> None:
        self.left: list[float] = []

    async def send(self, method: str, url: str, *, timeout_seconds: float, **_: Any) -> Answer:
        self.left.append(timeout_seconds)
        await asyncio.sleep(2 * HASTY_SECONDS)
        rows = [{"track_id": f"other-{number}", "status": "Paid"} for number in range(PER_PAGE)]
        body = json.dumps({"success": True, "data": rows}).encode()
        return Answer(status=200, headers={}, body=body, asked_at=datetime.now(UTC))


def test_pages_and_single_look_ups_share_one_time_out_and_nothing_is_sent_when_it_is_over():
    call = SlowCall()
    refs = [str(number) for number in range(FEW + 1)]

    async def story() -> Mapping[str, Any]:
        adapter = ZeroxHost(cast("Call", call))
        return await asyncio.wait_for(adapter.look_up(refs, account(HASTY_SECONDS)), PATIENCE_SECONDS)

    answers = asyncio.run(story())
    assert len(call.left) <= 1  # not even one, where a busy machine let the time-out pass before
    assert {(type(answer), answer.reason) for answer in answers.values()} == {
        (Unreachable, "no answer within the time-out")
    }
    assert set(answers) == set(refs)
