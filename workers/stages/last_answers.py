"""What the last answers mean for a whole account: it waits after a 429, and is not called while its key is refused."""

from __future__ import annotations

import time

import structlog

from domain import schedule
from domain.evidence import CredentialsRefused, Evidence, ProviderRefused, RateLimited, Said

log = structlog.get_logger()

REFUSED_SECONDS = 5.0  #: after refused credentials the account is not called for this long
#: With this many orders turned away in a row the account has a problem. Fewer may be a firewall that dislikes an order.
TURNED_AWAY = 3

PROVIDER_EVENTS = {
    "OrderRefused": "provider.order_refused",
    "CredentialsRefused": "provider.credentials_refused",
    "ProviderRefused": "provider.refuses",
    "InDoubt": "provider.in_doubt",
    "RateLimited": "provider.rate_limited",
    "Unreachable": "provider.unreachable",
}


class LastAnswers:
    """Of one account."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._refused: CredentialsRefused | ProviderRefused | None = None
        self._refused_until = 0.0  #: monotonic seconds
        self._turned_away: set[str] = set()  #: orders, since the last other answer
        self._paused_until = 0.0  #: monotonic seconds; the provider asked for that
        self._clock_is_off = False  #: as its last ``Date`` header said

    @property
    def refusal(self) -> CredentialsRefused | ProviderRefused | None:
        """The refusal that another call would meet too; None once it is over."""
        return self._refused if self._refused_until > time.monotonic() else None

    @property
    def pause_seconds(self) -> float:
        """Until the account may be called again after a 429; 0 or less: now."""
        return self._paused_until - time.monotonic()

    def learn(self, evidence: Evidence, invoice_id: str = "") -> None:
        """Note what an answer means for the whole account: once its key is refused, no other order has to ask."""
        if isinstance(evidence, ProviderRefused):
            if len(self._turned_away) < TURNED_AWAY:
                self._turned_away.add(invoice_id)
        else:
            self._turned_away.clear()
            self._refused = None
        if isinstance(evidence, CredentialsRefused) or (
            isinstance(evidence, ProviderRefused) and len(self._turned_away) >= TURNED_AWAY
        ):
            self._refused, self._refused_until = evidence, time.monotonic() + REFUSED_SECONDS
        if isinstance(evidence, RateLimited):
            wait = schedule.bounded_wait(evidence.retry_after_seconds) or 1.0
            self._paused_until = max(self._paused_until, time.monotonic() + wait)
        if isinstance(evidence, Said):
            event = PROVIDER_EVENTS.get(type(evidence).__name__, "provider.failed")
            log.warning(event, account=self._account, reason=evidence.reason)

    def tell_clock(self, seconds: int | None) -> None:
        """Log once that the provider's clock is off by ``seconds``, and once that it agrees again (None)."""
        if seconds is not None and not self._clock_is_off:
            self._clock_is_off = True
            log.warning("provider.clock_off", account=self._account, seconds=seconds)
        elif seconds is None and self._clock_is_off:
            self._clock_is_off = False
            log.info("provider.clock_agrees", account=self._account)
