"""Doorbells: a message that says "look at this lane". A lost one costs a second, never an invoice."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from redis import Redis

from domain.decision import Stage

log = structlog.get_logger()

#: At most one bell a lane in this time: the rest would say the same.
QUIET_MILLISECONDS = 1000


class Bell:
    """Rings for other processes. Nothing here raises: whoever rings has already committed."""

    def __init__(self, client: Redis, send: Callable[[str, list[str]], None]) -> None:
        """``send(task, arguments)`` publishes a message on the work queue."""
        self._client = client
        self._send = send

    def ring(self, stage: Stage, lane: str) -> None:
        """Wake one worker for this lane, unless somebody just did."""
        try:
            if self._client.set(_key(stage.value, lane), "1", nx=True, px=QUIET_MILLISECONDS):
                self._send("invoices.run", [stage.value, lane])
        except Exception as error:  # noqa: BLE001 - broker or Redis away: the sweep finds the work within a second
            log.warning("bell.unheard", stage=stage.value, lane=lane, error=type(error).__name__)

    def clear(self, stage: str, lane: str) -> None:
        """Let the bell ring again. Before the claim, never after it: a ring in between would get lost."""
        try:
            self._client.delete(_key(stage, lane))
        except Exception as error:  # noqa: BLE001 - the key runs out by itself
            log.warning("bell.not_cleared", stage=stage, lane=lane, error=type(error).__name__)


def _key(stage: str, lane: str) -> str:
    return f"invoices:bell:{stage}:{lane}"
