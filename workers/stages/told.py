"""What observers are told of calls and webhooks, in a fixed set of words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from domain.evidence import (
    Created,
    CredentialsRefused,
    Evidence,
    Found,
    InDoubt,
    NotFound,
    NotSent,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    SearchFailed,
    Seen,
    Unreachable,
    Unreadable,
)
from workers.engine import Attempted
from workers.store.agenda import lease_clock
from workers.store.outbox import ClaimedDelivery

#: An endpoint is healthy once nothing has failed there for this long, as far as this process knows.
HEALTHY_AFTER_SECONDS = 600.0

#: The words for what a call brought. Of a group of look-ups the first of these that any answer was.
OUTCOMES: Mapping[type[Evidence], str] = {
    CredentialsRefused: "key_refused",
    ProviderRefused: "turned_away",
    RateLimited: "rate_limited",
    Unreachable: "unreachable",
    InDoubt: "in_doubt",
    Unreadable: "unreadable",
    SearchFailed: "failed",
    NotSent: "not_sent",
    OrderRefused: "order_refused",
    NotFound: "not_found",
    Found: "answered",
    Created: "answered",
    Seen: "answered",
}
TIMED_OUT, NOTHING = "timed_out", "nothing"
_RANKS = {outcome: rank for rank, outcome in enumerate(dict.fromkeys(OUTCOMES.values()))}


def outcome_of(evidence: Evidence) -> str:
    """The word for what a call brought."""
    return OUTCOMES.get(type(evidence), "other")


def outcome_of_all(answers: Iterable[Evidence]) -> str:
    """The word for what a group of look-ups brought."""
    return min((outcome_of(one) for one in answers), key=lambda word: _RANKS.get(word, math.inf), default=NOTHING)


class EndpointHealth:
    """Which endpoints failed lately. What waits for those is late by their own doing."""

    def __init__(self) -> None:
        self._failed_at: dict[str, float] = {}  #: monotonic seconds

    def keep(self, endpoints: Iterable[str]) -> None:
        """Forget all others."""
        kept = self._failed_at.keys() & set(endpoints)
        self._failed_at = {endpoint: self._failed_at[endpoint] for endpoint in kept}

    def attempted(self, delivery: ClaimedDelivery, outcome: str, began: float, lease_seconds: float) -> Attempted:
        """One attempt that has just ended; ``began`` by ``lease_clock``, under a lease of this length."""
        endpoint, now = delivery.claim.lane, time.monotonic()
        is_healthy = now - self._failed_at.get(endpoint, -math.inf) >= HEALTHY_AFTER_SECONDS
        if outcome != "delivered":
            self._failed_at[endpoint] = now
        if delivery.changed_at is None or not is_healthy:
            return Attempted(endpoint, outcome)
        leased_at = delivery.claim.over_at - lease_seconds
        waited = (delivery.claim.claimed_at - delivery.changed_at).total_seconds()
        first_try = max(0.0, waited + max(0.0, began - leased_at))
        took = lease_clock() - began
        return Attempted(endpoint, outcome, first_try, first_try + took if outcome == "delivered" else None)
