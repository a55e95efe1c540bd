"""On RabbitMQ: counts how often a message's consumer died. Messages that were delivered before are handed over one at a
time.

RabbitMQ tells that a message was delivered before, not whether its consumer died or gave it back. So a worker notes in
Redis that it begins with such a message, and removes the note when the message ends in any way: acknowledged, refused
or given back. Notes that stay are deaths. One message is under way at a time, so that no neighbour is counted for it.
(On Redis brokers the transport counts, see ``workers.transport``.)
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
#: Redis forgets a count after this long.
KEPT_SECONDS = 86_400
#: A message that has not ended by then no longer holds up the next one: most likely it waits for the database.
TURN_SECONDS = 5.0


class Counter(Protocol):
    """Counts how often a message was begun and not ended."""

    def begin(self, key: str) -> int: ...

    def end(self, key: str) -> None: ...


class RedisCounter:
    """Counts in Redis. While that is away nothing is counted, and messages go on."""

    def __init__(self, open_client: Callable[[], Redis]) -> None:
        self._open = open_client
        self._client: Redis | None = None

    def begin(self, key: str) -> int:
        """Note a beginning. Returns how many earlier ones have not ended."""
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
        """It has ended: forget its beginnings."""
        try:
            if self._client is not None:
                self._client.delete(PREFIX + key)
        except (RedisError, OSError) as error:
            log.warning("intake.deaths_not_counted", error=str(error)[:200])


Given = ParamSpec("Given")


class Suspects:
    """Messages of one connection that came before. Used on the consumer's loop; they may end on any thread."""

    def __init__(self, timer: Timer, counter: Counter, take: Callable[[Message, int], None]) -> None:
        """``take(message, deaths)`` hands one over."""
        self._timer = timer
        self._counter = counter
        self._take = take
        self._waiting: deque[tuple[Message, str]] = deque()
        self._turn = 0
        self._under_way = False

    def add(self, message: Message, key: str) -> None:
        """Queue a message for its turn."""
        self._waiting.append((message, key))
        if not self._under_way:
            self._next()

    def close(self) -> None:
        """The connection is closed, so the broker has what was not handed over again."""
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
        """Notice the message's end, even one by an error."""
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
