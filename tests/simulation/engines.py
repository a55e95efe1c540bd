"""What stands in for the broker and for Redis: queues with leases, keys with an end, scripts, and a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ConnectionError as RedisAway

from tests.simulation.loop import HOST
from workers.coordination.breaker import _ASK, _RECORD
from workers.coordination.doorbell import _MAY_RING, DOUBLINGS, QUIET_MILLISECONDS
from workers.coordination.rate_limit import _TAKE
from workers.delivery.stream import _APPEND

REDELIVERY_SECONDS = 6.0  #: a message that nobody renewed for so long is delivered again

SCRIPT_FAULTS = (("away", 0.05), ("done", 0.05))  # refused, or done and the answer lost
MESSAGE_FAULTS = (("twice", 0.06),)
BELL_FAULTS = (("lost", 0.1), ("twice", 0.1))


@dataclass(slots=True)
class Message:
    """A message in the broker, and everything Celery would find in it."""

    id: str
    task: str
    body: bytes


@dataclass(slots=True)
class Broker:
    """The intake's queue: at least once, as the transport gives it."""

    world: Any
    queue: list[Message] = field(default_factory=list)
    held: dict[int, tuple[Message, Any]] = field(default_factory=dict)  #: tag -> message and who holds it
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    tags: int = 0

    def publish(self, message: Message) -> None:
        """Confirmed to its sender: from here on it must not be lost."""
        self.world.note("publish", message.id)
        self.queue.append(message)
        if self.world.draw(MESSAGE_FAULTS) == "twice":
            self.queue.append(message)
        self._tell()

    async def claim(self, host: Any) -> tuple[int, Message]:
        """The next message, held until it is acknowledged or its holder is gone for too long."""
        while not self.queue:
            future = self.world.loop.create_future()
            self.waiting.append(future)
            await future
        self.tags += 1
        tag, message = self.tags, self.queue.pop(0)
        self.held[tag] = message, host
        self.world.loop.at_world(REDELIVERY_SECONDS, self._expire, tag)
        return tag, message

    def acknowledge(self, tag: int) -> None:
        """Done with it; nothing happens where it was given to somebody else meanwhile."""
        self.held.pop(tag, None)

    def _expire(self, tag: int) -> None:
        """A living holder renews its lease."""
        if tag not in self.held:
            return
        message, host = self.held[tag]
        if not host.dead and host.frozen_until <= self.world.loop.now:
            self.world.loop.at_world(1.0, self._expire, tag)
            return
        del self.held[tag]
        self.world.note("redeliver", message.id)
        self.queue.append(message)
        self._tell()

    def _tell(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


@dataclass(slots=True)
class Keys:
    """Redis as the doorbell uses it, synchronously."""

    world: Any
    kept: dict[str, tuple[float, int]] = field(default_factory=dict)  #: key -> (until, value)

    def register_script(self, source: str) -> Callable[..., int]:
        """What runs in the place of a script."""
        assert source == _MAY_RING
        return self._may_ring

    def _may_ring(self, keys: list[str]) -> int:
        self._fail()
        now, (bell, unheard) = self.world.loop.now, keys
        until, count = self.kept.get(unheard, (0.0, 0))
        count = count if until > now else 0
        if self.kept.get(bell, (0.0, 0))[0] > now:
            return 0
        quiet = QUIET_MILLISECONDS / 1000 * 2 ** min(count, DOUBLINGS)
        self.kept |= {bell: (now + quiet, 1), unheard: (now + quiet * 4, count + 1)}
        return 1

    def delete(self, *keys: str) -> None:
        """Gone at once."""
        self._fail()
        for key in keys:
            self.kept.pop(key, None)

    def _fail(self) -> None:
        if self.world.draw(SCRIPT_FAULTS) == "away":
            raise RedisAway("away")


@dataclass(slots=True)
class Told:
    """An entry of the stream, the fence it was written under, and when."""

    fence: int
    id: str
    subject: str
    sequence: int
    at: float


@dataclass(slots=True)
class Scripts:
    """Redis as the pump's loop uses it: our scripts, in Python."""

    world: Any
    fence: int = 0
    stream: list[Told] = field(default_factory=list)

    def register_script(self, source: str) -> Callable[..., Awaitable[int]]:
        """What runs in the place of a script."""
        run = {_APPEND: self._append, _ASK: lambda _: -1, _RECORD: lambda _: -1, _TAKE: lambda args: args[1]}[source]

        async def call(keys: list[str], args: list[Any]) -> int:
            del keys
            world, fault = self.world, self.world.draw(SCRIPT_FAULTS)
            world.perhaps_freeze(HOST.get())
            await asyncio.sleep(world.latency())
            if fault == "away":
                raise RedisAway("away")
            answer: int = run(args)
            await asyncio.sleep(world.latency())
            if fault == "done":
                raise RedisAway("the answer was lost")
            return answer

        return call

    async def hget(self, key: str, field: str) -> None:
        """No endpoint's breaker is open, though that may not be learnt."""
        del key, field
        world, fault = self.world, self.world.draw(SCRIPT_FAULTS)
        world.perhaps_freeze(HOST.get())
        await asyncio.sleep(world.latency())
        if fault is not None:
            raise RedisAway("away")

    def refuses(self, fence: int) -> bool:
        """Somebody with a newer lease was here."""
        return self.fence > fence

    def _append(self, args: list[Any]) -> int:
        fence, _, *bodies = args
        if self.refuses(fence):
            self.world.note("stale", self.fence - fence)
            return self.fence
        self.fence = fence
        for body in bodies:
            event = json.loads(body)
            subject, sequence = event.get("subject", event["id"]), event.get("sequence", "0")
            self.stream.append(Told(fence, event["id"], subject, int(sequence), self.world.loop.now))
            self.world.note("stream", subject, sequence)
        return 0
