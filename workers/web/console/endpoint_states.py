"""What is wrong with an endpoint, in one word for lists and as what its page says first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from workers.store.deliveries import BY_ITSELF
from workers.store.reads.tries import DELIVERED, Doing
from workers.store.rows import StoredRow

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True, slots=True)
class Condition:
    """``name``: disabled, fails, skips (it does not take some), gave-up, silent (nothing was sent yet) or takes.
    ``kind``: of the badge. ``breaker``: None where Redis does not tell."""

    name: str
    kind: str
    needs_person: bool
    breaker: str | None


def condition_of(doing: Doing, breaker: str | None) -> Condition:
    """The first that holds."""
    if doing.endpoint.disabled_at is not None:
        by_itself = (doing.endpoint.disabled_reason or "").startswith(BY_ITSELF)
        needs = by_itself or doing.waiting.events > 0
        return Condition("disabled", "warn" if needs else "idle", needs, breaker)
    if doing.failing is not None:
        return (
            Condition("skips", "warn", True, breaker) if doing.takes_some else Condition("fails", "bad", True, breaker)
        )
    if doing.dead:
        return Condition("gave-up", "warn", True, breaker)
    if doing.last_success_at is None and not doing.tries.rows:
        return Condition("silent", "idle", False, breaker)
    return Condition("takes", "ok", False, breaker)


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failed try: what it was called, how often, from when to when, and the newest of them."""

    error: str
    times: int
    first_at: datetime
    last_at: datetime
    newest: StoredRow


def failures_of(tries: Sequence[StoredRow]) -> list[Failure]:
    """By what went wrong, the most frequent first. ``tries``: newest first."""
    kinds: dict[str, list[StoredRow]] = defaultdict(list)
    for one in tries:
        if one.outcome != DELIVERED:
            kinds[one.error or one.outcome].append(one)
    found = [Failure(error, len(rows), rows[-1].at, rows[0].at, rows[0]) for error, rows in kinds.items()]
    return sorted(found, key=lambda one: -one.times)


def answered_of(failures: Sequence[Failure]) -> tuple[int, int]:
    """How many of the failed tries had an answer, and how many had none."""
    with_status = sum(one.times for one in failures if one.newest.status is not None)
    return with_status, sum(one.times for one in failures) - with_status


def share(delivered: int, tried: int) -> str | None:
    """``99.5 %``, cut: 100 % is all of them; None: nothing was tried."""
    if not tried:
        return None
    thousandths = delivered * 1000 // tried
    whole, tenth = divmod(thousandths, 10)
    return f"{whole}.{tenth} %" if tenth else f"{whole} %"


def answer_text(answer: bytes | None) -> str:
    """What a receiver answered, its beginning, as text."""
    return bytes(answer or b"").decode("utf-8", "replace").strip()
