"""What is new in an answer goes with the evidence that was read from it: of creates, look-ups and callbacks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from domain.decision import Stage
from domain.drift import TEXT, Told, Words, group, word
from domain.evidence import CalledBack, Created, Seen
from domain.status import Status
from tests.stages.test_create import INVOICE, LEASE_SECONDS
from tests.stages.test_search import CLAIMED_AT, account
from workers.coordination.rate_limit import RateLimit
from workers.stages import DriftWatch, ProviderStages, callbacks
from workers.stages.look_ups import Turn
from workers.store.agenda import Claim, lease_clock

SHAPE = group({"id": TEXT, "state": word(Words("status", frozenset({"open"})))})
ANSWER = {"id": "r-1", "state": "aml_hold", "risk": 3}
SENTENCES = ["shop sends a status it never sent: aml_hold", "shop sends a field it never sent: risk"]


class Shop:
    """Answers with what no document names."""

    name, can_be_asked, asked_by_reference = "shop", True, False

    def documented(self, _account: Any) -> Any:
        return {"create": SHAPE, "look-up": SHAPE, "callback": SHAPE}

    def can_search(self, _account: Any) -> bool:
        return False

    async def create(self, _request: Any, _account: Any) -> Any:
        return Created(provider_ref="r-1", told=Told("create", ANSWER))

    async def look_up(self, refs: Any, _account: Any) -> Any:
        return {ref: Seen(status=None, word="aml_hold", told=Told("look-up", ANSWER)) for ref in refs}

    def read_callback(self, _body: bytes) -> Any:
        return CalledBack(status=Status.PAID, word="paid", told=Told("callback", ANSWER))


def said(evidence: Any) -> list[str]:
    return [new.sentence.partition(" (")[0] for new in evidence.news]


@pytest.mark.parametrize("stage", [0, 1], ids=["create", "look-up"])
def test_of_calls(stage):
    fields = {"provider_ref": "r-1", "twins": None, "asked_by": None, "status": "pending" if stage else "queued"}
    invoice = SimpleNamespace(**(vars(INVOICE) | fields))
    stages = (Stage.CREATE, Stage.CHECK)
    claim = Claim(stages[stage], "shop", "inv_1", "t", False, CLAIMED_AT, lease_clock() + LEASE_SECONDS)

    async def story() -> Any:
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {})
        accounts, providers = {"shop": account()}, cast("Any", {"shop": Shop()})
        watch = DriftWatch(accounts, providers)
        work: Any = ProviderStages(cast("Any", Mock()), accounts, providers, rate, drift=watch).works()[stage]
        item = Turn(claim, cast("Any", invoice)) if stage else (claim, invoice, None)
        (judgement,) = await work.perform("shop", [item])
        return judgement.evidence

    assert said(asyncio.run(story())) == SENTENCES


def test_of_callbacks():
    accounts, providers = {"shop": account()}, cast("Any", {"shop": Shop()})
    store, read = Mock(), list[Any]()

    def judge_callbacks(_claims: Any, reader: Any) -> Any:
        read.append(reader("shop", b"{}"))
        return [], [], []

    store.judge_callbacks = judge_callbacks
    callbacks(store, accounts, providers, drift=DriftWatch(accounts, providers)).commit([])
    assert said(read[0]) == SENTENCES
