"""An account whose provider has said 429 rests, whatever was asked: its worker reports so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from domain.decision import Stage
from domain.evidence import RateLimited
from tests.stages.test_create import INVOICE, LEASE_SECONDS
from tests.stages.test_search import CLAIMED_AT, DOUBTED, Shop, account
from workers.coordination.rate_limit import RateLimit
from workers.stages import ProviderStages
from workers.stages.look_ups import Turn
from workers.store.agenda import Claim, lease_clock

ASKED_SECONDS = 600.0
LIMITED = RateLimited(reason="HTTP 429", retry_after_seconds=ASKED_SECONDS)
PAID = {"status": "paid", "provider_ref": "r-1", "twins": None}


class Limited(Shop):
    """Its limit is used up."""

    async def create(self, _request: Any, _account: Any) -> Any:
        return LIMITED

    async def look_up(self, refs: Any, _account: Any) -> Any:
        return dict.fromkeys(refs, LIMITED)


@pytest.mark.parametrize(
    ("stage", "fields"),
    [
        (Stage.CREATE, {"status": "queued", "doubts": 0}),
        (Stage.CREATE, DOUBTED),
        (Stage.CHECK, {"status": "pending", "provider_ref": "r-1", "twins": None}),
        (Stage.CHECK, PAID),
    ],
    ids=["create", "search", "look-up", "look-up for a refund"],
)
def test_an_account_rests_as_long_as_its_provider_asked_whatever_the_call_was(stage, fields):
    invoice = SimpleNamespace(**(vars(INVOICE) | {"provider_ref": None, "twins": None} | fields))
    claim = Claim(stage, "shop", "inv_1", "t", False, CLAIMED_AT, lease_clock() + LEASE_SECONDS)

    async def story() -> tuple[Any, Any]:
        accounts = {name: account(name=name) for name in ("shop", "other")}
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
        stages = ProviderStages(cast("Any", Mock()), accounts, cast("Any", {"shop": Limited(LIMITED)}), rate)
        before = stages.rests()
        work: Any = next(one for one in stages.works() if one.stage is stage)
        await work.perform("shop", [Turn(claim, invoice) if stage is Stage.CHECK else (claim, invoice, None)])
        return before, stages.rests()

    before, after = asyncio.run(story())
    assert before == {}
    assert after == {"shop": pytest.approx(ASKED_SECONDS, abs=60)}
