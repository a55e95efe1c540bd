"""The sessions behind live pages. Whether they still count is read for all of them together: a thousand open pages ask
the database no more often than one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from workers.web.console.person import Person

#: How old an answer may be when something is sent because of it.
CHECK_SECONDS = 5.0


class _Known(NamedTuple):
    person: Person | None  #: None: the session counts no more
    at: float  #: when it was read, by the clock


class OpenSessions:
    """Used on one event loop. ``read``: for those of the secrets whose sessions count, whose they are."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, Person]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._pages: Counter[str] = Counter()  #: open, by secret
        self._known: dict[str, _Known] = {}
        self._reading: asyncio.Task[None] | None = None

    @contextmanager
    def page(self, secret: str, person: Person) -> Iterator[None]:
        """A page of this session is open inside. ``person``: whose it is, as was read just now."""
        self._pages[secret] += 1
        self._known.setdefault(secret, _Known(person, self._clock()))
        try:
            yield
        finally:
            self._pages[secret] -= 1
            if not self._pages[secret]:
                del self._pages[secret], self._known[secret]

    async def look(self, secret: str) -> Person | None:
        """Who an open page's session belongs to, read at most CHECK_SECONDS ago. Raises what the reading raises."""
        came = self._clock()
        while self._known[secret].at <= came - CHECK_SECONDS:
            await self._read_all()
        return self._known[secret].person

    async def _read_all(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._go())
            self._reading.add_done_callback(_retrieve)
        await asyncio.shield(self._reading)  # others wait for it too

    async def _go(self) -> None:
        began, secrets = self._clock(), sorted(self._pages)
        found = await self._read(secrets)
        for secret in secrets:
            if secret in self._pages:
                self._known[secret] = _Known(found.get(secret), began)


def _retrieve(reading: asyncio.Task[None]) -> None:
    """What it raised is for those who waited."""
    if not reading.cancelled():
        reading.exception()
