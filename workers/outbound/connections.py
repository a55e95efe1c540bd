"""Connections for webhooks: bounded in all, shared out between endpoints and hosts, waited for lane by lane."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque

from workers.outbound.shares import Shares


class Connections:
    """Who may connect now. Used on one event loop; without contention a take costs no turn of it."""

    def __init__(self, limit: int) -> None:
        self._shares = Shares(limit)
        self._host_limit = max(1, limit // 2)  #: all endpoints of one host together
        self._hosts: Counter[str] = Counter()
        self._waiting: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}  #: (endpoint, host), in their order

    def room(self, endpoint: str, host: str) -> int:
        """How many more the endpoint may have now."""
        return min(self._shares.room(endpoint), self._host_limit - self._hosts[host])

    def cap(self, endpoint: str, host: str) -> int:
        """How many the endpoint may have in all, as things stand."""
        return self._shares.held(endpoint) + max(0, self.room(endpoint, host))

    async def take(self, endpoint: str, host: str, patience_seconds: float) -> bool:
        """Have a connection for the endpoint; False where none was free within so long. One for one with ``give``."""
        user = (endpoint, host)
        if user not in self._waiting and self.room(endpoint, host) > 0:
            self._grant(endpoint, host)
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        try:
            async with asyncio.timeout(patience_seconds if math.isfinite(patience_seconds) else None):
                await turn
        except BaseException as error:
            granted = turn.done() and not turn.cancelled()
            if granted and isinstance(error, TimeoutError):
                return True  # both at once
            self._forsake(user, turn)
            if granted:
                self.give(endpoint, host)
            if not isinstance(error, TimeoutError):
                raise
            return False
        return True

    def give(self, endpoint: str, host: str) -> None:
        """The exchange has ended."""
        self._shares.give(endpoint)
        self._hosts[host] -= 1
        if self._hosts[host] <= 0:
            del self._hosts[host]
        if self._waiting:
            self._serve()

    def note(self, endpoint: str, seconds: float) -> None:
        """How long an exchange with the endpoint took."""
        self._shares.note(endpoint, seconds)

    def _grant(self, endpoint: str, host: str) -> None:
        self._shares.take(endpoint)
        self._hosts[host] += 1

    def _forsake(self, user: tuple[str, str], turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(user)
        if turns is not None and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[user]

    def _serve(self) -> None:
        """Who holds least comes first."""
        for user in sorted(self._waiting, key=lambda user: self._shares.held(user[0])):
            turns = self._waiting[user]
            while turns and self.room(*user) > 0:
                turn = turns.popleft()
                if not turn.done():
                    turn.set_result(None)
                    self._grant(*user)
            if not turns:
                del self._waiting[user]
