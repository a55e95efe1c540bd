"""A search for an order in doubt, in place of its create. It makes nothing, so it may be repeated."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from domain.account import Account
from domain.evidence import CredentialsRefused, Evidence, NotFound, RateLimited, SearchAnswer, SearchFailed
from domain.ports import CreateRequest, Provider
from workers.store.agenda import Claim

log = structlog.get_logger()


async def search(
    provider: Provider,
    claim: Claim,
    request: CreateRequest,
    since: datetime,
    account: Account,
    next_call: Callable[[str], Awaitable[None]],
) -> SearchAnswer:
    """What the provider's search finds within one time-out, as of the claim by the database's clock."""
    try:
        async with asyncio.timeout(account.timeout_seconds):
            answer = await provider.find(request, account, since, functools.partial(next_call, account.name))
    except TimeoutError:
        answer = SearchFailed(reason="the search did not end within the time-out")
    if isinstance(answer, SearchFailed):
        log.warning("provider.search_failed", account=account.name, reason=answer.reason)
    if isinstance(answer, NotFound):
        return dataclasses.replace(answer, asked_at=claim.claimed_at, after_lost=claim.lost)
    return answer


def as_search(answer: Evidence) -> Evidence:
    """What turns an account away says nothing about its order: the search has failed once more."""
    if isinstance(answer, CredentialsRefused):
        return SearchFailed(reason=answer.reason, raw=answer.raw)
    if isinstance(answer, RateLimited):
        return SearchFailed(reason=answer.reason, raw=answer.raw, retry_after_seconds=answer.retry_after_seconds)
    return answer
