"""Connections for webhooks: bounded in all, shared out between endpoints, with a queue for each endpoint."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from workers.http.shares import Shares


class Connections:
    """Decides who may connect now. Used on one event loop; if a connection is free, ``take`` does not yield to it."""

    def __init__(self, limit: int) -> None:
        self._shares = Shares(limit)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  #: by endpoint, in order of arrival

    def room(self, endpoint: str) -> int:
        """How many more the endpoint may have now."""
        return self._shares.room(endpoint)

    def cap(self, endpoint: str) -> int:
        """How many the endpoint may have in all, as things are now."""
        return self._shares.held(endpoint) + self._shares.room(endpoint)

    async def take(self, endpoint: str, patience_seconds: float) -> bool:
        """Take a connection; False if none was free in time. Each one taken is given back by ``give``."""
        if endpoint not in self._waiting and self._shares.room(endpoint) > 0:
            self._shares.take(endpoint)
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(endpoint, deque()).append(turn)
        try:
            async with asyncio.timeout(patience_seconds if math.isfinite(patience_seconds) else None):
                await turn
        except TimeoutError:
            if not _is_granted(turn):
                self._forsake(endpoint, turn)
                return False
        except asyncio.CancelledError:
            if _is_granted(turn):
                self.give(endpoint)
            else:
                self._forsake(endpoint, turn)
            raise
        return True

    def give(self, endpoint: str) -> None:
        """Give a connection back: the exchange has ended."""
        self._shares.give(endpoint)
        if self._waiting:
            self._serve()

    def note(self, endpoint: str, seconds: float) -> None:
        """How long an exchange with the endpoint took."""
        self._shares.note(endpoint, seconds)

    def _forsake(self, endpoint: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[endpoint]
        turns.remove(turn)
        if not turns:
            del self._waiting[endpoint]
        self._serve()  # others may have waited only behind this one

    def _serve(self) -> None:
        """Hand out what is free. The endpoint that holds least comes first."""
        for endpoint in sorted(self._waiting, key=self._shares.held):
            turns = self._waiting[endpoint]
            for turn in list(turns):
                if self._shares.room(endpoint) <= 0:
                    break
                if not turn.done():  # one that was just cancelled removes itself
                    turns.remove(turn)
                    turn.set_result(None)
                    self._shares.take(endpoint)
            if not turns:
                del self._waiting[endpoint]


def _is_granted(turn: asyncio.Future[None]) -> bool:
    return turn.done() and not turn.cancelled()
