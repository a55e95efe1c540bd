"""Shops that send orders over HTTP in a campaign: each order until it is taken, whoever dies meanwhile."""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.callbacks import post
from tests.chaos.planned import PlannedMessage

#: Between two tries of an order.
AGAIN_SECONDS = 0.3
#: Side by side; a process that hangs keeps one of them for as long as a try takes.
SHOPS = 4
TAKEN = {200, 202}
#: The web process is away, starting, stopping or without its database: to be asked again.
AGAIN = {408, 429, 503}


class Posters:
    """Shops in threads of their own. ``taken`` is told of each order's id, and when its last try began."""

    def __init__(self, url: str, token: str, taken: Callable[[str, float], None]) -> None:
        self._url = f"{url}/v1/orders"
        self._headers = [("authorization", f"Bearer {token}"), ("content-type", "application/json")]
        self._taken = taken
        self._waiting: queue.Queue[PlannedMessage | None] = queue.Queue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SHOPS)]
        self.answers: Counter[int] = Counter()  #: by status; 0: none came
        self.refused: list[str] = []  #: what a good order must not be answered

    def start(self) -> None:
        """Begin with what is given."""
        for thread in self._threads:
            thread.start()

    def send(self, orders: Sequence[PlannedMessage]) -> None:
        """Have orders sent soon."""
        for order in orders:
            self._waiting.put(order)

    def finish(self, seconds: float) -> None:
        """Wait until all are taken. Raises AssertionError where they are not within that time."""
        for _ in self._threads:
            self._waiting.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "orders over HTTP were not taken"

    def _run(self) -> None:
        while (order := self._waiting.get()) is not None:
            while not self._is_taken(order):
                time.sleep(AGAIN_SECONDS)

    def _is_taken(self, order: PlannedMessage) -> bool:
        began = time.monotonic()
        status, body = self._post(order.fields)
        self.answers[status] += 1
        if status in TAKEN:
            self._taken(order.order_id, began)
        elif status != 0 and status not in AGAIN:
            self.refused.append(f"{order.order_id}: {status} {body[:200]!r}")
        return status != 0 and status not in AGAIN

    def _post(self, fields: Mapping[str, Any]) -> tuple[int, bytes]:
        try:
            return post(self._url, json.dumps(fields).encode(), self._headers)
        except (OSError, http.client.HTTPException, ValueError):  # killed amid it, or not started again yet
            return 0, b""
