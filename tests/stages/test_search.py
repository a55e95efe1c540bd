"""CREATE of an order in doubt: searched for first where the provider can be searched, and only then called again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import fakeredis
import pytest

from domain.account import Account
from domain.decision import Stage
from domain.evidence import (
    Created,
    CredentialsRefused,
    Found,
    InDoubt,
    NotFound,
    NotSent,
    RateLimited,
    SearchFailed,
    Seen,
)
from domain.status import Status
from tests.stages.test_create import INVOICE, LEASE_SECONDS, TIMEOUT_SECONDS
from workers.coordination.rate_limit import RateLimit
from workers.stages import ProviderStages
from workers.stages.look_ups import Turn
from workers.store.agenda import Claim, lease_clock

CLAIMED_AT = datetime(2026, 11, 29, 6, 0, tzinfo=UTC)
DOUBTED = {"status": "in_doubt", "doubts": 1, "sought": None, "created_at": CLAIMED_AT - timedelta(minutes=2)}


class Shop:
    """A provider that says to a search what it is told to, and notes what it was asked."""

    can_be_asked = True
    asked_by_reference = False

    def __init__(self, answer: Any = None, searchable: bool = True, pages: int = 1) -> None:
        self.answer = answer if answer is not None else NotFound()
        self.searchable = searchable
        self.pages = pages
        self.asked: list[Any] = []

    def can_search(self, _account: Account) -> bool:
        return self.searchable

    async def create(self, _request: Any, _account: Any) -> Any:
        self.asked.append("create")
        return Created(provider_ref="r-1")

    async def find(self, request: Any, _account: Any, since: datetime, next_call: Any) -> Any:
        self.asked.append(("find", request.order_id, since))
        for _ in range(self.pages - 1):
            await next_call()
        if self.answer == "hang":
            await asyncio.sleep(3600)
        return self.answer

    async def look_up(self, refs: Any, _account: Any) -> Any:
        self.asked.append(list(refs))
        return {ref: Seen(status=Status.PAID if ref == "twin" else Status.PENDING, word=ref) for ref in refs}


def account(**fields: Any) -> Account:
    usual = {"name": "shop", "provider": "shop", "base_url": "http://127.0.0.1:1", "api_key": "key"}
    return Account.model_validate({"timeout_seconds": TIMEOUT_SECONDS} | usual | fields)


def perform(
    shop: Shop, stage: int = 0, *, lost: bool = False, fields: Any = DOUBTED, held_up: float = 0.0, **settings: Any
) -> Any:
    """What a claim on the order brings."""
    invoice = SimpleNamespace(**(vars(INVOICE) | {"provider_ref": None, "twins": None} | fields))
    lease = settings.get("timeout_seconds", TIMEOUT_SECONDS) - TIMEOUT_SECONDS + LEASE_SECONDS
    claim = Claim(Stage.CREATE, "shop", "inv_1", "t", lost, CLAIMED_AT, lease_clock() + lease - held_up)

    async def story() -> Any:
        rate = RateLimit(fakeredis.FakeAsyncRedis(), {"shop": settings.get("rate_per_second")})
        stages = ProviderStages(cast("Any", Mock()), {"shop": account(**settings)}, cast("Any", {"shop": shop}), rate)
        work: Any = stages.works()[stage]
        item = Turn(claim, invoice) if stage else (claim, invoice, None)
        (judgement,) = await work.perform("shop", [item])
        return judgement.evidence

    return asyncio.run(story())


def test_an_order_in_doubt_is_searched_for_since_it_came_and_not_created():
    shop = Shop(Found(provider_ref="r-7"))
    evidence = perform(shop)
    assert (type(evidence), evidence.provider_ref, evidence.asked_at) == (Found, "r-7", None)
    assert shop.asked == [("find", "1", DOUBTED["created_at"])]


def test_a_search_that_finds_nothing_counts_as_of_its_claim():
    evidence = perform(Shop())
    assert (type(evidence), evidence.asked_at, evidence.after_lost) == (NotFound, CLAIMED_AT, False)


@pytest.mark.parametrize(
    ("fields", "searchable"),
    [(DOUBTED | {"sought": 1}, True), (DOUBTED, False), (DOUBTED | {"status": "queued", "doubts": 0}, True)],
    ids=["nothing was found", "it can't be searched", "no doubt"],
)
def test_otherwise_it_is_created(fields, searchable):
    shop = Shop(searchable=searchable)
    assert isinstance(perform(shop, fields=fields), Created)
    assert shop.asked == ["create"]


def test_a_worker_that_was_lost_while_it_searched_made_nothing_and_the_next_one_searches():
    evidence = perform(Shop(), lost=True)
    assert (type(evidence), evidence.after_lost) == (NotFound, True)


def test_a_worker_that_was_lost_while_it_created_again_leaves_a_doubt():
    shop = Shop()
    assert isinstance(perform(shop, lost=True, fields=DOUBTED | {"sought": 1}), InDoubt)
    assert shop.asked == []


@pytest.mark.parametrize("lost", [False, True])
def test_a_worker_that_was_held_up_before_its_search_sends_nothing_and_says_nothing_of_the_order(lost):
    shop = Shop(Found(provider_ref="r-7"))
    evidence = perform(shop, lost=lost, held_up=LEASE_SECONDS, fields=DOUBTED | {"create_before": CLAIMED_AT})
    assert (type(evidence), evidence.after_lost, shop.asked) == (NotSent, lost, [])


def test_the_next_best_that_a_search_brings_have_their_times_held_against_our_clock_as_well():
    long_ago = CLAIMED_AT - timedelta(days=1)
    dead = Found(provider_ref="r-6", expires_at=long_ago, lifetime_minutes=Decimal(60))
    evidence = perform(Shop(Found(provider_ref="r-7", instead=(dead,))))
    (other,) = evidence.instead
    assert other.expires_at > CLAIMED_AT
    assert other.disbelieved_expires_at == long_ago


def test_an_order_that_is_too_late_is_still_searched_for():
    shop = Shop(Found(provider_ref="r-7"))
    assert isinstance(perform(shop, fields=DOUBTED | {"create_before": CLAIMED_AT}), Found)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (CredentialsRefused(reason="HTTP 401"), None),
        (RateLimited(reason="HTTP 429", retry_after_seconds=9.0), 9.0),
        (SearchFailed(reason="HTTP 500"), None),
    ],
)
def test_a_search_that_is_turned_away_has_failed_and_says_nothing_of_the_order(answer, wait):
    evidence = perform(Shop(answer))
    assert (type(evidence), evidence.reason, evidence.retry_after_seconds) == (SearchFailed, answer.reason, wait)


def test_a_search_that_hangs_has_failed_after_one_time_out():
    evidence = perform(Shop("hang"), timeout_seconds=0.05)
    assert isinstance(evidence, SearchFailed)


def test_each_further_call_of_a_search_waits_for_the_account_s_rate():
    """Three pages are three calls: at two a second the bucket has two, and the third would have to wait."""
    assert isinstance(perform(Shop(pages=3), rate_per_second=2.0), NotFound)
    limited = perform(Shop(pages=6), rate_per_second=0.01, timeout_seconds=0.3)
    assert isinstance(limited, SearchFailed)


def test_a_look_up_asks_about_twins_too_and_the_one_that_is_paid_counts():
    shop = Shop()
    made = {"status": "pending", "provider_ref": "r-1", "twins": '["twin"]'}
    evidence = perform(shop, 1, fields=made)
    assert shop.asked == [["r-1", "twin"]]
    assert evidence.status is Status.PAID
