"""Live pages: ``/console/live`` sends the parts of a page that have changed, as events.

A part is what a template wraps in ``live``. Nobody describes a part twice: the page itself is drawn once more, by the
very function that answers a request for it, and its parts are cut out of it. All who look at the same page as people
who see the same share one drawing of it, so a thousand open consoles cost the database what one costs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import Response

from domain.permissions import Role
from workers.store.database import UNAVAILABLE
from workers.web.console.person import Person
from workers.web.console.refusals import Refused
from workers.web.threads import Overloaded

log = structlog.get_logger()

LOOK_SECONDS = 1.0  #: between two looks at whether anything has happened
REST_SHARE = 1.0  #: after a drawing: a rest of this many times as long as that took
BEAT_SECONDS = 15.0  #: without news a comment goes out: proxies close a connection on which nothing comes
MOST_CHANNELS = 500
#: The page's `hx-sse:close` names it, and its script says in words what has happened.
LET_GO = b"event: let-go\ndata:\n\n"
_PART = re.compile(r"<!--live:([a-z-]+)-->(.*?)<!--/live-->", re.DOTALL)

#: Draws a page for a person.
Draw = Callable[[Request, Person], Awaitable[Response]]


class Key(NamedTuple):
    """Who looks at what: those with one key see the same."""

    path: str
    query: str
    language: str
    role: Role
    accounts: frozenset[str] | None


@dataclass(eq=False, slots=True)
class Watcher:
    """One open page. The parts that it has not been sent yet wait here, each once: a slow reader gets the newest."""

    waiting: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False
    is_let_go: bool = False  #: its person has opened too many others since

    def offer(self, parts: Mapping[str, str]) -> None:
        """These are to be sent."""
        self.waiting |= parts
        self.changed.set()

    def end(self) -> None:
        """Nothing more comes; the browser comes back by itself."""
        self.is_over = True
        self.changed.set()

    def let_go(self) -> None:
        """Nothing more comes; the browser is told not to come back by itself."""
        self.is_let_go = True
        self.end()

    async def take(self, seconds: float) -> dict[str, str]:
        """The parts that have changed since; none after ``seconds`` without a change, or when it is over."""
        if not self.waiting and not self.is_over:
            self.changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self.changed.wait()
            except TimeoutError:
                return {}
        taken, self.waiting = self.waiting, {}
        return taken


@dataclass(eq=False, slots=True)
class Channel:
    """A page as people of one kind see it, and who looks at it."""

    draw: Draw
    request: Request
    person: Person
    every_seconds: float  #: drawn anew after this time even if nothing was added: ages grow
    parts: Mapping[str, str] = field(default_factory=dict)
    drawn_at: float = float("-inf")
    newest: object = None  #: what ``read_newest`` said before it was drawn
    watchers: set[Watcher] = field(default_factory=set)


class Channels:
    """All pages that somebody looks at. Used on one event loop."""

    def __init__(self, read_newest: Callable[[], Awaitable[object]], look_seconds: float = LOOK_SECONDS) -> None:
        self._read_newest = read_newest
        self._look_seconds = look_seconds
        self._channels: dict[Key, Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_over = False
        self.drawings = 0  #: since the start

    def __len__(self) -> int:
        return sum(len(channel.watchers) for channel in self._channels.values())

    def join(self, key: Key, draw: Draw, path_params: Mapping[str, object], every_seconds: float) -> Watcher:
        """Watch a page, which is sent whole at first. The caller must ``leave``. With too many pages watched, it is
        over at once."""
        watcher = Watcher()
        if self.is_over or (key not in self._channels and len(self._channels) >= MOST_CHANNELS):
            watcher.end()
            return watcher
        channel = self._channels.get(key)
        if channel is None:
            person = Person("", key.role, key.accounts, "")
            channel = self._channels[key] = Channel(draw, _request_for(key, path_params), person, every_seconds)
        channel.watchers.add(watcher)
        if channel.parts:
            watcher.offer(channel.parts)
        if self._task is None:
            self._task = asyncio.create_task(self._go_on())
        return watcher

    def leave(self, key: Key, watcher: Watcher) -> None:
        """It is sent nothing more."""
        channel = self._channels.get(key)
        if channel is None:
            return
        channel.watchers.discard(watcher)
        if not channel.watchers:
            del self._channels[key]

    def end(self) -> None:
        """The process stops."""
        self.is_over = True
        for channel in self._channels.values():
            for watcher in channel.watchers:
                watcher.end()

    async def _go_on(self) -> None:
        """Until nobody looks."""
        try:
            while self._channels and not self.is_over:
                await self._look()
                await asyncio.sleep(self._look_seconds)
        finally:
            self._task = None

    async def _look(self) -> None:
        try:
            newest = await self._read_newest()
        except (Overloaded, *UNAVAILABLE) as error:
            log.info("console.live_waits", error=type(error).__name__)
            return
        clock = asyncio.get_running_loop()
        for key, channel in sorted(self._channels.items(), key=lambda item: item[1].drawn_at):
            began = clock.time()
            if channel.newest == newest and began - channel.drawn_at < channel.every_seconds:
                continue
            if self.is_over or key not in self._channels:
                continue
            channel.newest, channel.drawn_at = newest, began
            await self._draw(channel)
            await asyncio.sleep((clock.time() - began) * REST_SHARE)

    async def _draw(self, channel: Channel) -> None:
        self.drawings += 1
        try:
            response = await channel.draw(channel.request, channel.person)
        except (Overloaded, *UNAVAILABLE) as error:
            log.info("console.live_waits", error=type(error).__name__)
            return
        except Refused:  # what it shows is gone: people see that when they load it again
            self._end(channel)
            return
        except Exception:
            log.exception("web.bug", path=channel.request.url.path[:200], traceback=True)
            self._end(channel)
            return
        parts = dict(_PART.findall(bytes(response.body).decode()))
        changed = {name: part for name, part in parts.items() if channel.parts.get(name) != part}
        channel.parts = parts
        if changed:
            for watcher in channel.watchers:
                watcher.offer(changed)

    def _end(self, channel: Channel) -> None:
        for watcher in channel.watchers:
            watcher.end()


def message(parts: Mapping[str, str]) -> bytes:
    """Parts as one event: htmx puts each into its place."""
    partials = "".join(
        f'<hx-partial hx-target="#live-{name}" hx-swap="innerMorph">{part}</hx-partial>' for name, part in parts.items()
    )
    lines = "".join(f"data: {line}\n" for line in partials.splitlines())
    return f"{lines}\n".encode("utf-8", "replace")


async def send_on(
    watcher: Watcher, may_go_on: Callable[[], Awaitable[bool]], beat_seconds: float = BEAT_SECONDS
) -> AsyncGenerator[bytes]:
    """What a watcher is sent, until it is over or its person may watch no more."""
    yield b": watching\n\n"
    while not watcher.is_over:
        parts = await watcher.take(beat_seconds)
        if not await may_go_on():
            return
        yield message(parts) if parts else b": nothing new\n\n"
    if watcher.is_let_go:
        yield LET_GO


def _request_for(key: Key, path_params: Mapping[str, object]) -> Request:
    """A request for the page itself, without anything that only its sender has."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": key.path,
        "raw_path": key.path.encode(),
        "query_string": key.query.encode(),
        "headers": [(b"accept-language", key.language.encode()), (b"host", b"localhost")],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": None,
        "path_params": dict(path_params),
        "root_path": "",
        "state": {"goes_on": True},
    }
    return Request(scope)
