"""The result of a search, from the candidates that echo our order id; and the adapter's part without a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.account import Account
from domain.evidence import Created, Found, NotFound, SearchAnswer, SearchFailed
from domain.exact_json import write_json
from domain.ports import CreateRequest, NextCall
from domain.status import Status

#: How far clocks may differ. An invoice made longer than this before the order came belongs to an earlier order with
#: the same id.
TOLERANCE = timedelta(minutes=1)

MOST_CANDIDATES = 20  #: of those that can be paid: each may turn out to be another order's

#: An invoice in these can't be paid any more, and nobody was shown it.
_OVER = frozenset({Status.EXPIRED, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An invoice of the provider's that echoes our order id. ``made`` None: what is told of it can't be used."""

    ref: str
    made_at: datetime | None  #: by the provider's clock
    made: Created | None
    status: Status | None
    differs: str = ""  #: names the fields in which it differs from the order


class Unsearchable:
    """A provider without a search: its adapter inherits this."""

    @staticmethod
    def can_search(account: Account) -> bool:  # noqa: ARG004 - the port's
        """No search by our order id is documented."""
        return False

    async def find(
        self, request: CreateRequest, account: Account, since: datetime, next_call: NextCall
    ) -> SearchAnswer:
        """Nothing: see ``can_search``."""
        return SearchFailed(reason="the provider documents no search")


def conclude(candidates: Sequence[Candidate], since: datetime) -> Found | NotFound | SearchFailed:
    """Found is one that is paid, otherwise the newest that can still be paid; the others are its twins.

    If one is perhaps ours but can't be bound, nothing is found and nothing is proved to be missing: SearchFailed.
    """
    recent = [one for one in candidates if one.made_at is None or one.made_at >= since - TOLERANCE]
    for one in recent:
        if one.differs:
            return SearchFailed(reason=f"{one.ref} has our order id and another {one.differs}")
        if one.made is None:
            return SearchFailed(reason=f"{one.ref} has our order id and can't be read")
    alive = [one for one in recent if one.status not in _OVER]
    if not alive:
        return NotFound(lapsed=_list([one.ref for one in recent]))
    alive.sort(key=lambda one: (one.status is Status.PAID, one.made_at is not None, one.made_at or since), reverse=True)
    chosen, *instead = (_found(one, recent) for one in alive[:MOST_CANDIDATES])
    return dataclasses.replace(chosen, instead=tuple(instead))


def _found(one: Candidate, recent: Sequence[Candidate]) -> Found:
    told = {field.name: getattr(one.made, field.name) for field in dataclasses.fields(Created)}
    return Found(**told, twins=_list([other.ref for other in recent if other.ref != one.ref]))


def _list(refs: Sequence[str]) -> str | None:
    return write_json(list(dict.fromkeys(refs))) if refs else None
