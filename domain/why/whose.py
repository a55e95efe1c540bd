"""Whose it is that something is late: what is told of it to those who see some accounts only. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.why.cause import Cause
from domain.why.verdict import Late

#: Concern everybody, whoever's invoices wait.
SHARED = frozenset({Cause.NO_WORKER, Cause.STREAM_BEHIND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of what is late for one cause. ``account``: whose invoices they are, ``owner``: whose the example is,
    ``at``: the account at a provider where they wait, ``endpoint``: the one that does not take their webhooks. Each
    None: not told, or none's. ``is_share``: it is in the count of another part, of all accounts."""

    late: Late
    account: str | None = None
    owner: str | None = None
    at: str | None = None
    endpoint: str | None = None
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """Work that nobody has taken up since ``since``; ``account`` None: no account's."""

    account: str | None
    since: datetime


def of_all(parts: Sequence[Part], now: datetime) -> list[Late]:
    """What is late of everything, in the order of the causes."""
    return sorted(_together((part.late for part in parts if not part.is_share), now), key=_order)


def within(parts: Sequence[Part], accounts: Collection[str], endpoints: Collection[str]) -> list[Part]:
    """What of it concerns those who see these accounts and endpoints only. What concerns everybody is told without
    how many wait (``count`` 0) and without an example."""
    return list(_seen(parts, accounts, endpoints))


def oldest_due(due: Iterable[Due], accounts: Collection[str] | None = None) -> datetime | None:
    """Since when work is due, of these accounts and of none's; ``accounts`` None: of all."""
    found = (one.since for one in due if accounts is None or one.account is None or one.account in accounts)
    return min(found, default=None)


def _seen(parts: Sequence[Part], accounts: Collection[str], endpoints: Collection[str]) -> Iterator[Part]:
    for part in parts:
        late = part.late
        if part.account is not None and part.account in accounts:
            if part.endpoint is None or part.endpoint in endpoints:
                example = late.example if part.owner is None or part.owner in accounts else None
                at = part.at if part.at in accounts else None
                told = Late(late.cause, late.count, late.oldest_since, example)
                yield replace(part, late=told, at=at, is_share=False)
        elif late.cause in SHARED and part.account is None:
            yield Part(late=Late(late.cause, 0, late.oldest_since, None))


def _together(found: Iterable[Late], now: datetime) -> Iterator[Late]:
    """One of each cause, with the oldest's example."""
    by_cause: dict[Cause, list[Late]] = defaultdict(list)
    for one in found:
        by_cause[one.cause].append(one)
    for cause, parts in by_cause.items():
        oldest = min(parts, key=lambda one: (one.oldest_since or now, one.example is None))
        count, of_none = sum(one.count for one in parts), sum(one.of_none for one in parts)
        yield Late(cause, count, oldest.oldest_since, oldest.example, of_none)


def _order(late: Late) -> int:
    return list(Cause).index(late.cause)
