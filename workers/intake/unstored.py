"""Messages that could be neither stored nor listed: kept in a queue at the broker, and tried again until they are.

A message is kept before it is acknowledged, so a process that dies in between leaves it twice, never nowhere. A repeat
changes nothing: an order and a refused message are both known by a key. Kept messages hold up no others, because they
don't count among those in hand. Every intake process takes from the queue, whichever put them there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import redis
import structlog

from workers.intake.message import REJECT, Accepted, TurnedAway, inspect, turn_away
from workers.store.database import UNAVAILABLE, first_line, may_be_its_own
from workers.transport.message import UNREADABLE
from workers.transport.message_limits import KIB, MAX_MANY_BODY_BYTES
from workers.transport.side_queue import SideQueue

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection
    from kombu.message import Message
    from kombu.transport.virtual import Channel

log = structlog.get_logger()

QUEUE = "invoices.unstored"
#: In Redis, for `invoices doctor`: since when messages are kept, and why. Whether any are, the queue itself says.
NOTE = "invoices:unstored"
#: A message as it came in, because the guard failed on it: see ``wrap`` and ``unwrap``.
RAW = "raw"

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
#: How often an empty queue is looked at: another process may have kept messages before it ended.
LOOK_SECONDS = 10.0
#: After so many failures a round ends; the next round begins with the messages behind them.
FAILURES = 100
#: For a publish that finds its connection closed.
_RETRY: Mapping[str, object] = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.4}


#: On RabbitMQ a worker reads at most as much of a message as a body of many orders may have.
MAX_PACKED_BYTES = MAX_MANY_BODY_BYTES - 64 * KIB

#: ``fields`` never packs more than this: the longest body as base64 or in escapes, and the rest of the message.
MAX_UNPACKED_BYTES = 8 * MAX_MANY_BODY_BYTES


class TooLong(ValueError):  # noqa: N818 - reads as what is the matter
    """A message that stays where it is: a worker would not read all of it in this queue."""


class NotReady(Exception):  # noqa: N818 - reads as what is the matter
    """The process could not be set up. That is no fault of the message: it waits, as for a database that is away."""


@dataclass(frozen=True, slots=True)
class UnstoredMessage:
    """A message in the queue. ``since``: epoch seconds; ``tries``: how often it could not be stored."""

    call: Accepted
    since: float
    tries: int
    why: str

    def fields(self) -> dict[str, object]:
        """As JSON values. Every later release must read them. Raises TooLong for more than a worker reads."""
        packed = base64.b64encode(zlib.compress(json.dumps(self.call.arguments).encode(), 1)).decode()
        if len(packed) > MAX_PACKED_BYTES:
            raise TooLong(f"{len(packed)} bytes are too many to be kept")
        call = {"task": self.call.task, "id": self.call.id, "packed": packed}
        return call | {"since": self.since, "tries": self.tries, "why": self.why}


@dataclass(frozen=True, slots=True)
class Round:
    """The result of one look at the queue. ``left``: messages that are still in it."""

    taken: int = 0
    failed: int = 0
    left: int = 0
    oldest: UnstoredMessage | None = None
    away: bool = False  #: the database is away, which is no fault of any message


class Unstored:
    """The queue, for one process. Threads may share it, except for ``run`` and ``look``."""

    def __init__(self, app: Celery, open_redis: Callable[[], redis.Redis]) -> None:
        self._app = app
        self._queue = SideQueue(app, QUEUE, _RETRY)
        self._open_redis = open_redis
        self._redis: redis.Redis | None = None
        self._kept = threading.Event()
        self._connection: Connection | None = None

    # --- in -----------------------------------------------------------------------------------------------------------

    def keep(self, calls: Sequence[Accepted], why: str) -> None:
        """Put messages into the queue; when this returns the broker has them. Raises the broker's errors."""
        for call in calls:
            kept = UnstoredMessage(call, time.time(), 1, why)
            self._queue.put(kept.fields())
            log.error("intake.unstored", task=call.task, id=call.id, error=why, consequence="kept, and tried again")
            self._note(kept, only_first=True)
        self._kept.set()

    def insist_on_keeping(self, calls: Sequence[Accepted], why: str, wait: Callable[[float], bool]) -> bool:
        """``keep``, repeated while the broker refuses. False if ``wait(seconds)`` says to stop."""
        delay = 0.2
        while True:
            try:
                self.keep(calls, why)
            except Exception as error:  # noqa: BLE001 - whatever it is, an unkept message is not acknowledged
                log.error("intake.not_kept", messages=len(calls), error=describe(error), again_in_seconds=delay)
                if wait(delay):
                    return False
                delay = min(delay * 2, LONGEST_WAIT_SECONDS)
            else:
                return True

    # --- out ----------------------------------------------------------------------------------------------------------

    def run(self, take: Callable[[Accepted], None], stopping: threading.Event) -> None:
        """Look at the queue until the process stops: soon again after a success, with growing waits while all fails.

        ``take`` stores or lists a message, or raises.
        """
        wait = FIRST_WAIT_SECONDS
        while not stopping.is_set():
            self._kept.clear()
            done = self._try(take, stopping)
            if done.left == 0 and not done.away:
                wait = FIRST_WAIT_SECONDS
                if self._kept.wait(LOOK_SECONDS):
                    stopping.wait(wait)
                continue
            self._tell(done, wait)
            stopping.wait(wait)
            wait = FIRST_WAIT_SECONDS if done.taken else min(wait * 2, LONGEST_WAIT_SECONDS)

    def _try(self, take: Callable[[Accepted], None], stopping: threading.Event) -> Round:
        try:
            return self.look(take, stopping.is_set)
        except Exception as error:  # noqa: BLE001 - mostly the broker's; closing the connection gives the message back
            log.warning("intake.unstored_not_looked_at", error=describe(error))
            self._close()
            return Round(away=True)

    def look(self, take: Callable[[Accepted], None], is_stopping: Callable[[], bool] = lambda: False) -> Round:
        """Try each message that is in the queue now, once, until FAILURES have failed. Raises the broker's errors.

        One that fails goes to the queue's end; it is acknowledged only when it is written there.
        """
        taken, failed, oldest = 0, 0, None
        with self._channel() as channel:
            queue = self._queue.declared()(channel)
            for _ in range(queue.queue_declare().message_count):
                message = None if is_stopping() or failed >= FAILURES else queue.get()
                if message is None:
                    break
                put_back = self._take_again(message, take)
                if put_back is None:
                    taken += 1
                    continue
                kept, away = put_back
                failed += 1
                oldest = kept if oldest is None or kept.since < oldest.since else oldest
                if away:
                    return Round(taken, failed, queue.queue_declare().message_count, oldest, away=True)
            done = Round(taken, failed, queue.queue_declare().message_count, oldest)
        self._note(done.oldest) if done.left else self._forget()
        return done

    def _take_again(self, message: Message, take: Callable[[Accepted], None]) -> tuple[UnstoredMessage, bool] | None:
        """Hand a message over. None: it was taken; otherwise it as put back, and whether the database is away."""
        kept = _read(message)
        try:
            take(kept.call)
        except Exception as error:
            away = isinstance(error, (NotReady, *UNAVAILABLE)) and not may_be_its_own(error)
            kept = replace(kept, tries=kept.tries + (not away), why=describe(error))
            self._queue.put(kept.fields())
            message.ack()
            log.debug("intake.still_unstored", id=kept.call.id, tries=kept.tries, exc_info=True)
            return kept, away
        message.ack()
        log.info("intake.stored_at_last", task=kept.call.task, id=kept.call.id, tries=kept.tries)
        return None

    @contextlib.contextmanager
    def _channel(self) -> Iterator[Channel]:
        if self._connection is None:
            self._connection = self._app.connection_for_read(heartbeat=0)  # between two looks nobody would send one
        channel = self._connection.channel()
        try:
            yield channel
        finally:
            channel.close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # the connection is broken anyway
                connection.close()

    def _tell(self, done: Round, wait: float) -> None:
        if done.left:
            why, since = ("", None) if done.oldest is None else (done.oldest.why, _clock(done.oldest.since))
            log.error("intake.unstored_wait", messages=done.left, since=since, error=why, again_in_seconds=wait)

    # --- the note for the doctor --------------------------------------------------------------------------------------

    def _note(self, kept: UnstoredMessage | None, *, only_first: bool = False) -> None:
        if kept is not None:
            note = json.dumps({"since": kept.since, "why": kept.why})
            self._write(lambda client: client.set(NOTE, note, nx=only_first))

    def _forget(self) -> None:
        self._write(lambda client: client.delete(NOTE))

    def _write(self, do: Callable[[redis.Redis], object]) -> None:
        try:
            if self._redis is None:
                self._redis = self._open_redis()
            do(self._redis)
        except (redis.RedisError, OSError) as error:
            log.debug("intake.unstored_not_noted", error=describe(error))


# --- messages ---------------------------------------------------------------------------------------------------------


def _read(message: Message) -> UnstoredMessage:
    """The message that ``fields`` wrote. Anything else that somebody put into the queue is listed as rejected."""
    try:
        found = message.decode()
        arguments = json.loads(_unpack(base64.b64decode(found["packed"])))
        call = Accepted(str(found["task"]), str(found["id"]), list(arguments))
        return UnstoredMessage(call, float(found["since"]), int(found["tries"]), str(found["why"]))
    except Exception:  # noqa: BLE001 - it may be anybody's text
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode(errors="replace")
        why = (message.headers or {}).get(UNREADABLE, "it is no message that was kept")
        reason = f"body: this was found in the queue {QUEUE}: {why}"
        refused = turn_away(body, reason, hashlib.sha256(body).hexdigest())
        return UnstoredMessage(Accepted(REJECT, str(uuid.uuid4()), refused.arguments), time.time(), 0, refused.reason)


def _unpack(packed: bytes) -> bytes:
    """Bounded: somebody else's message may be made to fill the memory."""
    reader = zlib.decompressobj()
    text = reader.decompress(packed, MAX_UNPACKED_BYTES)
    if not reader.eof:
        raise TooLong(f"unpacked it is longer than {MAX_UNPACKED_BYTES} bytes, or it was cut")
    return text


def wrap(message: Message) -> Accepted:
    """A kombu message as it came in, to be read later."""
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode("utf-8", "surrogatepass")
    told = json.loads(json.dumps([message.headers, message.properties], default=str))
    place = [message.content_type, message.content_encoding]
    return Accepted(RAW, str(uuid.uuid4()), [*told, base64.b64encode(body).decode(), *place])


def unwrap(call: Accepted) -> Accepted:
    """What a wrapped message asks for."""
    headers, properties, body, content_type, content_encoding = call.arguments
    now = datetime.now(UTC)
    found = inspect(headers, properties, base64.b64decode(body), content_type, content_encoding, now=now)
    return Accepted(REJECT, call.id, found.arguments) if isinstance(found, TurnedAway) else found


def describe(error: BaseException) -> str:
    """An error's kind and its first line: why a message is kept."""
    return f"{type(error).__name__}: {first_line(error)}"[:300]


def _clock(since: float) -> str:
    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
