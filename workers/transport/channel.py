"""The channel: records and pops a message in one step, where kombu pops (BRPOP) and records later."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from queue import Empty
from typing import TYPE_CHECKING, Any

import structlog
from kombu.transport import redis
from redis.exceptions import ResponseError

from workers.transport.message import Message, read_item, record_ending
from workers.transport.message_limits import MAX_BROADCAST_BYTES
from workers.transport.private import ChannelHooks
from workers.transport.qos import QoS
from workers.transport.refusals import as_lost_connection, note_that_it_works, refusals_as_lost_connections
from workers.transport.scripts import CLAIM
from workers.transport.turns import GIVEN

if TYPE_CHECKING:
    from redis.connection import Connection as RedisConnection

log = structlog.get_logger()

#: The server waits on one list only. A message in another one is found after at most this long; until one was found in
#: a second list, after at most the longer time: hardly anybody uses priorities, and a look costs 0.4 CPU-ms.
WAIT_SECONDS = 0.1
FIRST_WAIT_SECONDS = 1.0
#: A server that refused to wait is asked again after this long.
PAUSING_SECONDS = 30.0
#: A list that is always empty: waiting on it is just a pause.
NOWHERE = "invoices.nowhere"


#: The answer to a claim where the next message must not be claimed beside those in hand.
LATER = 0
#: Our own transport options.
OPTIONS = ("isolates", "in_turns", "room_alone")
#: Messages per claim at most; fewer where Celery's prefetch limit allows fewer in hand.
CLAIM_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim that was sent and not yet answered. ``queues`` names the queue of each of ``lists``."""

    tags: list[str]  #: one for each message it may find
    lists: list[str]
    queues: list[str]
    waits: bool  #: a wait was sent first, and is answered first


class Claiming(ChannelHooks):
    """What differs from kombu's channel; to be mixed into one of its Redis channels."""

    Message = Message
    QoS = QoS
    #: A transport option: a message that consumers died with is claimed alone, and in the end no longer parsed.
    #: Consumers must then list it as rejected and acknowledge it.
    isolates = False
    #: A transport option: the queue whose messages are claimed in turns by account once they pile up (`turns.py`).
    in_turns: str | None = None
    #: A transport option: a message that ``count_alone`` names counts for so many of those that may be in hand.
    room_alone = 1

    def __init__(self, *args: object, **kwargs: object) -> None:
        name = uuid.uuid4().hex
        self._tags = (f"{name}.{number:012}" for number in count(1))  # zero-padded: the index sorts equal times by tag
        self._no_ack_queues: set[str] = set()
        self._claim: _Claim | None = None  # sent, not yet answered
        self._idle = False  # the last claim found nothing
        self._later = False  # because the next message, or one in hand, has to be alone
        self._last_list: str | None = None  # where the last message came from, and the next one is awaited
        self._used_lists: set[str] = set()  # where any came from
        self._waits_from = 0.0  # from this moment on the server may be asked to wait (BLMOVE)
        with refusals_as_lost_connections():
            super().__init__(*args, **kwargs)

    # --- claiming -----------------------------------------------------------------------------------------------------

    def basic_consume(self, queue: str, no_ack: bool, *args: object, **kwargs: object) -> object:
        """As kombu's; remembers whether this queue's messages are acknowledged at all."""
        (self._no_ack_queues.add if no_ack else self._no_ack_queues.discard)(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: object) -> object:
        """One message right now, or None."""
        claim = self._new_claim(1, [queue], waits=False)
        command = self._claim_command(claim, {queue} if no_ack else set())
        with self.conn_or_acquire() as client:
            reply = client.execute_command(*command)
            self.refresh_expiry(client, queue)
        if reply is None:
            return None
        (tag,) = claim.tags
        message = self.Message(read_item(reply[1], tag, queue, unread=self.isolates), channel=self)
        if not no_ack:
            self.qos.hold(tag)
            self.qos.weigh(tag, reply[1])
            self.qos.append(message, tag)
        return message

    def start_claim(self, timeout: float | None) -> None:
        """Claim as many messages as may be in hand. If the last claim found none, the server waits first."""
        queues = self.next_queues()
        if not queues:
            return
        alone = int(not self.qos.in_hand())
        if self._claim is not None:  # its connection broke before the answer: whatever it found goes back
            self.qos.put_back(self._claim.tags)
        self._claim = claim = self._new_claim(self._room(), queues, waits=self._idle)
        commands = [self._claim_command(claim, self._no_ack_queues, alone)]
        if claim.waits:
            commands.insert(0, self._wait_command(claim, self.brpop_timeout if timeout is None else timeout))
        for tag in claim.tags:
            self.qos.hold(tag)
        self.send_claim(commands)

    def finish_claim(self) -> None:
        """Deliver what the claim found."""
        found = self._read_claim(self._claim) if self._claim is not None else []
        if not found:
            raise Empty
        self.had_its_turn(found[-1][2])
        for item, tag, queue in found:
            self.deliver(read_item(item, tag, queue, unread=self.isolates), queue)

    def _read_claim(self, claim: _Claim) -> list[tuple[bytes, str, str]]:
        """The items found, each with its tag and queue. Reads all answers, or drops the connection and them with it."""
        connection = self.client.connection
        try:
            if claim.waits:
                self._read_wait(connection)
            reply = connection.read_response() or []
        except ResponseError as error:  # this was the last answer: nothing is left unread
            self._claim = None
            self._release(claim.tags)
            raise as_lost_connection(error) from error
        except BaseException:
            connection.disconnect()
            raise
        note_that_it_works()
        self._claim = None
        self._idle = not reply or reply == [LATER]
        self._later = not claim.tags or reply == [LATER]
        found = [
            (item, tag, claim.queues[place - 1])
            for place, item, tag in zip(reply[::2], reply[1::2], claim.tags, strict=False)
        ]
        for item, tag, _ in found:
            self.qos.weigh(tag, item)
        self._release(claim.tags[len(found) :])
        self._release([tag for _, tag, queue in found if queue in self._no_ack_queues])
        if found:
            self._last_list = claim.lists[reply[-2] - 1]
            self._used_lists.add(self._last_list)
        return found

    def _release(self, tags: Sequence[str]) -> None:
        for tag in tags:
            self.qos.release(tag)

    def _read_wait(self, connection: RedisConnection) -> None:
        try:
            connection.read_response()
        except ResponseError as error:
            # A server without BLMOVE (before 6.2), or a full one that refuses it: pause instead.
            if not self._waits_from:
                log.warning("broker.waits_by_pausing", error=str(error)[:200])
            self._waits_from = time.monotonic() + PAUSING_SECONDS

    def _room(self) -> int:
        """Messages that may be claimed now: as many as the prefetch limit leaves; one where there is no limit.

        Nothing beside a message that may kill this process.
        """
        if self.isolates and self.qos.holds_lonely():
            return 0
        return min(self.qos.can_consume_max_estimate() or 1, CLAIM_MESSAGES)

    def _new_claim(self, messages: int, queues: Sequence[str], waits: bool) -> _Claim:
        tags = [next(self._tags) for _ in range(messages)]
        pairs = [(self.list_of(queue, level), queue) for level in self.priority_steps for queue in queues]
        return _Claim(tags, [name for name, _ in pairs], [queue for _, queue in pairs], waits)

    def _claim_command(self, claim: _Claim, no_ack_queues: set[str], alone: int = 1) -> list[object]:
        turns = claim.queues.index(self.in_turns) if self.in_turns in claim.queues else None
        given = f"{GIVEN}{'' if turns is None else claim.lists[turns]}"
        keys = self._prefixed([self.unacked_index_key, self.unacked_key, given, *claim.lists])
        endings = ["" if queue in no_ack_queues else record_ending(queue) for queue in claim.queues]
        marks = [alone if self.isolates else "", 0 if turns is None else turns + 1]
        return ["EVAL", CLAIM, len(keys), *keys, *marks, *endings, *claim.tags]

    def _wait_command(self, claim: _Claim, timeout: float | None) -> list[object]:
        """Wait on the server without taking anything: BLMOVE moves a list's last item to where it is already."""
        if self._later or time.monotonic() < self._waits_from:
            return ["BRPOP", *self._prefixed([NOWHERE]), WAIT_SECONDS]
        seconds = timeout or 0
        if len(claim.lists) > 1:
            longest = WAIT_SECONDS if len(self._used_lists) > 1 else FIRST_WAIT_SECONDS
            seconds = min(seconds or longest, longest)
        name = self._last_list if self._last_list in claim.lists else claim.lists[0]
        (key,) = self._prefixed([name])
        return ["BLMOVE", key, key, "RIGHT", "RIGHT", seconds]

    def renew_bindings(self) -> None:
        """Say again which exchanges lead to the queues read here.

        A broker that was emptied has forgotten that, and kombu drops what is sent to an exchange without queues.
        Senders and workers declare a queue only once per connection.
        """
        for queue in self.active_queues:
            self.bind_again(queue)

    # --- scripts and connections --------------------------------------------------------------------------------------

    def run_script(self, script: str, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run a script; returns its result. ``keys`` come without the global prefix."""
        with self.conn_or_acquire() as client:
            return client.execute_command("EVAL", script, len(keys), *self._prefixed(keys), *arguments)

    def refusals(self) -> AbstractContextManager[None]:
        """Treat a server that refuses like one that is lost."""
        return refusals_as_lost_connections()

    def bound_broadcast(self, data: object) -> object:
        """Anybody may write a broadcast, and it is decoded on the consumer's loop: a long one is dropped."""
        if isinstance(data, bytes) and len(data) > MAX_BROADCAST_BYTES:
            log.warning("broker.broadcast_dropped", bytes=len(data))
            return None
        return data

    def acknowledge(self, tags: Sequence[str]) -> None:
        """``basic_ack`` of several messages in one step."""
        self.qos.forget(tags)

    def count_alone(self, tag: str) -> None:
        """This message shares no task with others: it takes up a thread by itself."""
        self.qos.count_alone(tag)

    def _prefixed(self, keys: Sequence[str]) -> list[str]:
        return [f"{self.global_keyprefix}{key}" for key in keys]

    def close(self) -> None:
        """Put back what is in hand, then close."""
        if not self.closed and self._claim is not None:
            self._give_back_claim(self._claim)
        super().close()

    def _give_back_claim(self, claim: _Claim) -> None:
        """Read the answer to the claim under way, for no longer than it may wait, and put back what it found."""
        connection = self.awaited_connection()
        try:
            if connection and connection.can_read(timeout=(self.brpop_timeout or 0) + 1):
                self._read_claim(claim)
            elif connection:
                connection.disconnect()
            self.qos.put_back(claim.tags)
        except self.connection_errors as error:
            log.warning("broker.claim_not_put_back", error=str(error)[:200])
        finally:
            self._claim = None
            self.await_nothing()


class Channel(Claiming, redis.Channel):
    """For one server: ``redis://``, ``rediss://``, ``redis+socket://``."""

    from_transport_options: tuple[str, ...] = (*redis.Channel.from_transport_options, *OPTIONS)


class SentinelChannel(Claiming, redis.SentinelChannel):
    """For the server that sentinels name: ``sentinel://``."""

    from_transport_options: tuple[str, ...] = (*redis.SentinelChannel.from_transport_options, *OPTIONS)
