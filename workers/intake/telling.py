"""How many refused orders a shop is told of: a sender gone wild must not fill the event log and every endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

#: For each account and intake process: this many at once, and then this many a second.
BURST = 1000
PER_SECOND = 10.0
#: Stands for every account that is not configured. No account can have this name.
NO_ACCOUNT = "(none)"
#: While some are left out, the log says so this often.
REMIND_SECONDS = 60.0


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float
    left_out: int = 0
    said_at: float = float("-inf")


class Telling:
    """A bucket of events for each account. Used from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances: dict[str, _Allowance] = {}
        self._lock = threading.Lock()

    def may_tell(self, account: str) -> bool:
        """Whether the account's shop is told of one more refused order. One that is left out is only listed; the log
        says how many."""
        with self._lock:
            now = self._clock()
            allowance = self._allowances.setdefault(account, _Allowance(BURST, now))
            allowance.left = min(BURST, allowance.left + (now - allowance.at) * PER_SECOND)
            allowance.at = now
            if allowance.left >= 1:
                allowance.left -= 1
                return True
            allowance.left_out += 1
            if now - allowance.said_at >= REMIND_SECONDS:
                allowance.said_at = now
                log.warning("order.refusals_not_told", account=account, orders=allowance.left_out)
                allowance.left_out = 0
            return False
