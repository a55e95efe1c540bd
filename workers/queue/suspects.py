"""RabbitMQ: messages that were delivered before, handed over one at a time and counted until one has an end.

RabbitMQ says of a message that it was delivered before, not whether its consumer died or gave it back. So a worker
notes in Redis that it begins with such a message, and forgets that at whatever end: acknowledged, refused or given
back. What is left over are deaths. Only the one begun with is counted, so its neighbours don't share its fate. (On
Redis brokers the transport counts, see ``workers.transport``.)
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, Protocol

import structlog
from redis import Redis, RedisError

from workers.queue.batches import Timer

if TYPE_CHECKING:
    from kombu.message import Message

log = structlog.get_logger()

PREFIX = "invoices:begun:"
#: Forgotten by then, whatever happened.
KEPT_SECONDS = 86_400
#: One that has no end by then holds up the others no longer: it waits for the database, most likely.
TURN_SECONDS = 5.0


class Counter(Protocol):
    """Counts beginnings without an end."""

    def begin(self, key: str) -> int: ...

    def end(self, key: str) -> None: ...


class RedisCounter:
    """In Redis. While that is away nothing is counted: messages go on."""

    def __init__(self, open_client: Callable[[], Redis]) -> None:
        self._open = open_client
        self._client: Redis | None = None

    def begin(self, key: str) -> int:
        """Note a beginning; how many there were before it that had no end."""
        try:
            client = self._client = self._client or self._open()
            with client.pipeline() as pipe:
                pipe.incr(PREFIX + key)
                pipe.expire(PREFIX + key, KEPT_SECONDS)
                count, _ = pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("intake.deaths_not_counted", error=str(error)[:200])
            return 0
        return int(count) - 1

    def end(self, key: str) -> None:
        """It has an end: nothing is left of its beginnings."""
        try:
            if self._client is not None:
                self._client.delete(PREFIX + key)
        except (RedisError, OSError) as error:
            log.warning("intake.deaths_not_counted", error=str(error)[:200])


Given = ParamSpec("Given")


class Suspects:
    """Messages of one connection that were delivered before. Used on the consumer's loop; ends come from any thread."""

    def __init__(self, timer: Timer, counter: Counter, take: Callable[[Message, int], None]) -> None:
        """``take(message, deaths)`` hands one over."""
        self._timer = timer
        self._counter = counter
        self._take = take
        self._waiting: deque[tuple[Message, str]] = deque()
        self._turn = 0
        self._under_way = False

    def add(self, message: Message, key: str) -> None:
        """It waits until those before it have had their turns."""
        self._waiting.append((message, key))
        if not self._under_way:
            self._next()

    def close(self) -> None:
        """The connection is closed: the broker has again what was not handed over."""
        self._waiting.clear()

    def _next(self) -> None:
        if self._under_way or not self._waiting:
            return
        message, key = self._waiting.popleft()
        self._under_way = True
        self._turn += 1
        deaths = self._counter.begin(key)
        self._watch(message, key, self._turn)
        self._timer.call_after(TURN_SECONDS, functools.partial(self._pass_on, self._turn))
        self._take(message, deaths)

    def _pass_on(self, turn: int) -> None:
        if turn == self._turn:
            self._under_way = False
            self._next()

    def _watch(self, message: Message, key: str, turn: int) -> None:
        """Whatever ends the message, even an error, ends its counting."""
        ended = False

        def end(step: Callable[Given, None]) -> Callable[Given, None]:
            def do(*args: Given.args, **kwargs: Given.kwargs) -> None:
                nonlocal ended
                try:
                    step(*args, **kwargs)
                finally:
                    if not ended:
                        ended = True
                        self._counter.end(key)
                        self._timer.call_after(0.0, functools.partial(self._pass_on, turn))

            return do

        message.ack, message.reject = end(message.ack), end(message.reject)
