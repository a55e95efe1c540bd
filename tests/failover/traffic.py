"""Shops that send orders while the database fails over: half by message, half over HTTP, each until it is taken."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.acceptance.system import System, zeroxhost_order

SENDERS = 4  #: of each way
AGAIN_SECONDS = 0.2
JOIN_SECONDS = 180.0
TAKEN, AGAIN = {200, 202}, {408, 429, 503}
MARKER = "~pay:1~"


@dataclass(frozen=True, slots=True)
class Taken:
    """An order that somebody answers for: the broker, or the web process with its 202."""

    order_id: str
    by_http: bool
    at: float  #: of the process's monotonic clock


class Traffic:
    """Orders at a steady pace, from threads. What is not taken is sent again, as a shop does."""

    def __init__(self, system: System, token: str, per_second: float) -> None:
        self._system, self._pause = system, 2 * SENDERS / per_second
        self._halt = threading.Event()
        self._lock = threading.Lock()
        self._made = 0
        self.taken: list[Taken] = []
        self.answers: Counter[int] = Counter()  #: of the web process, by status; 0: none came
        self.failed_publishes = 0
        headers = {"authorization": f"Bearer {token}"}
        self._shop = httpx.Client(headers=headers, timeout=60, trust_env=False)
        ways = [self._post, self._publish] * SENDERS
        self._threads = [threading.Thread(target=self._send, args=(way,), daemon=True) for way in ways]
        for thread in self._threads:
            thread.start()

    def count(self, *, by_http: bool | None = None, after: float = 0.0) -> int:
        """How many were taken, in one way or in both."""
        return sum(by_http in (None, one.by_http) and one.at > after for one in list(self.taken))

    def stop(self) -> None:
        """No new orders; returns when those under way are taken."""
        self._halt.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
            assert not thread.is_alive(), f"an order was not taken within {JOIN_SECONDS:g} s"
        self._shop.close()

    def longest_gap(self) -> float:
        """Seconds in which no order over HTTP was taken."""
        times = sorted(one.at for one in self.taken if one.by_http)
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def _send(self, way: Any) -> None:
        while not self._halt.is_set():
            with self._lock:
                self._made += 1
                order = zeroxhost_order(f"live-{self._made}", MARKER)
            while not way(order):
                time.sleep(AGAIN_SECONDS)
            self.taken.append(Taken(order["order_id"], way == self._post, time.monotonic()))
            self._halt.wait(self._pause)

    def _post(self, order: Mapping[str, Any]) -> bool:
        try:
            status = self._shop.post(f"{self._system.web_url()}/v1/orders", json=order).status_code
        except (httpx.HTTPError, IndexError):  # it has ended, or has not said yet where it listens
            status = 0
        self.answers[status] += 1
        assert status in TAKEN | AGAIN | {0}, f"a good order was answered {status}"
        return status in TAKEN

    def _publish(self, order: Mapping[str, Any]) -> bool:
        try:
            self._system.order(order)
        except OSError:
            self.failed_publishes += 1
            return False
        return True
