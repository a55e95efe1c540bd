"""Followers of the log: one look at the database for all of them, several times a second.

A follower is a queue; it holds no thread and no connection of the database. A look reads the events since the last one,
in one statement, and hands them to every queue. The newest events are kept, so that a follower that comes back costs no
statement. A follower that falls too far behind is told to come back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

import structlog

from domain.permissions import Action, may
from workers.store.database import UNAVAILABLE
from workers.store.reads.log import Entry, Page, PositionGone
from workers.store.tokens import Token
from workers.web.api.absence import Absence
from workers.web.threads import Overloaded, StoreThreads

log = structlog.get_logger()

LOOK_SECONDS = 0.1  #: between two looks
LOOK_EVENTS = 500  #: read by one look; if there are more, the next look follows at once
ANSWER_SECONDS = 10.0
KEPT_EVENTS = 2000  #: the newest ones, for followers that come back
QUEUE_EVENTS = 1000  #: how far a follower may fall behind, besides what it joined with
TOKEN_SECONDS = 5.0  #: between two checks of the followers' tokens

#: The events after a position, at most this many. Raises PositionGone.
Read = Callable[[int, int], Page]
#: The database's time, and the tokens with these ids.
FindTokens = Callable[[Sequence[str]], tuple[datetime, Mapping[str, Token]]]


class Follower:
    """One follower's queue, and why nothing more will come. Used on one event loop."""

    def __init__(
        self, token_id: str, accounts: Collection[str] | None, position: int, kept: Sequence[Entry] = ()
    ) -> None:
        self.token_id = token_id
        self._accounts = accounts
        self.position = position  #: of the last event queued or passed over: none at or below it is queued again
        self._queue: deque[Entry] = deque(entry for entry in kept if entry.position > position and self._sees(entry))
        self._most = QUEUE_EVENTS + len(self._queue)
        self._changed = asyncio.Event()
        self.over: str | None = None  #: why nothing more comes
        if kept:
            self.position = max(position, kept[-1].position)

    def offer(self, entries: Sequence[Entry]) -> None:
        """Queue the events that it may see, and pass over the others."""
        if self.over is not None:
            return
        for entry in entries:
            if entry.position <= self.position:
                continue
            if self._sees(entry):
                if len(self._queue) >= self._most:
                    self.end("slow")
                    return
                self._queue.append(entry)
                self._changed.set()
            self.position = entry.position

    def end(self, why: str) -> None:
        """Nothing more is queued; what is queued is still sent."""
        self.over = self.over or why
        self._changed.set()

    async def take(self, seconds: float) -> list[Entry]:
        """What is queued; empty after ``seconds`` without events, or at the end."""
        if not self._queue and self.over is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return []
        taken = list(self._queue)
        self._queue.clear()
        return taken

    def _sees(self, entry: Entry) -> bool:
        return self._accounts is None or entry.account is None or entry.account in self._accounts


class Following:
    """All followers. Used on one event loop."""

    def __init__(
        self, threads: StoreThreads, read: Read, find_tokens: FindTokens, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._threads = threads
        self._read = read
        self._find_tokens = find_tokens
        self._away = Absence(look_seconds)
        self._followers: set[Follower] = set()
        self._kept: deque[Entry] = deque()
        self._from = self._position = -1  #: events after the first and up to the second are kept
        self._looking: asyncio.Task[None] | None = None
        self.is_over = False

    def __len__(self) -> int:
        return len(self._followers)

    def covers(self, position: int) -> bool:
        """Whether a follower from this position may join at once: everything after it is kept."""
        return self._looking is not None and self._from <= position <= self._position

    def reaches(self, position: int, *, is_newest: bool) -> bool:
        """Whether a reader that has come this far may join. ``is_newest``: it found nothing more."""
        return is_newest if self._looking is None else position >= self._from

    def join(self, token_id: str, accounts: Collection[str] | None, position: int) -> Follower:
        """Follow from a position that ``covers`` or ``reaches`` allowed just now, without an await in between.

        The follower must ``leave``. Raises ValueError where some events after the position are not kept."""
        if self._looking is None:
            self._kept.clear()
            self._from = self._position = position
            self._looking = asyncio.create_task(self._look_on())
        if position < self._from:
            raise ValueError(f"after {position} something is missing: events are kept after {self._from}")
        follower = Follower(token_id, accounts, position, self._kept)
        self._followers.add(follower)
        if self.is_over:
            follower.end("stop")
        return follower

    def leave(self, follower: Follower) -> None:
        """Stop handing it events."""
        self._followers.discard(follower)

    def end(self) -> None:
        """The process stops."""
        self.is_over = True
        self._end_all("stop")

    def _end_all(self, why: str) -> None:
        for follower in self._followers:
            follower.end(why)

    async def _look_on(self) -> None:
        """Look again and again until nobody follows."""
        loop = asyncio.get_running_loop()
        checked_at = loop.time()
        while self._followers and not self.is_over:
            is_full = await self._guarded(self._look)
            if not self._followers:
                break
            if loop.time() - checked_at >= TOKEN_SECONDS:
                checked_at = loop.time()
                await self._guarded(self._check_tokens)
            if not is_full:
                await asyncio.sleep(self._away.pause_seconds)
        self._looking = None

    async def _guarded(self, step: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await step()
        except (Overloaded, *UNAVAILABLE) as error:
            self._away.begins(error, following=len(self))
            return False
        except PositionGone:  # the database was restored, or away for longer than events are kept
            self._let_go("gone")
        except Exception:  # a bug: followers are told to come back
            log.exception("api.bug", following=len(self), traceback=True)
            self._let_go("bug")
        else:
            self._away.ends()
            return done
        return False

    def _let_go(self, why: str) -> None:
        """End all followers. The look ends too, so that nobody joins at its position."""
        self._end_all(why)
        self._followers.clear()

    async def _look(self) -> bool:
        """Hand out new events; whether there are more."""
        page = await self._threads.run(self._read, self._position, LOOK_EVENTS, seconds=ANSWER_SECONDS)
        self._position = page.next
        if page.entries:
            self._keep(page.entries)
            for follower in self._followers:
                follower.offer(page.entries)
        return len(page.entries) == LOOK_EVENTS

    def _keep(self, entries: Sequence[Entry]) -> None:
        self._kept.extend(entries)
        while len(self._kept) > KEPT_EVENTS:
            self._from = self._kept.popleft().position

    async def _check_tokens(self) -> bool:
        """End followers whose token was revoked or has expired. One statement for all of them."""
        asked = list(self._followers)  # others may join during the await
        ids = sorted({follower.token_id for follower in asked})
        now, tokens = await self._threads.run(self._find_tokens, ids, seconds=ANSWER_SECONDS)
        for follower in asked:
            token = tokens.get(follower.token_id)
            if token is None or not token.is_live(now) or not may(token.scopes, Action.READ):
                follower.end("token")
        return True
