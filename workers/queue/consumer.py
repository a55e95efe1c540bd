"""The guard: checks each message before Celery sees it, and replaces it by a call of ours.

``worker_consumer`` names ``GuardedConsumer``. Each message is read by ``workers.intake.message`` and rewritten in
place: a good one becomes a call without floats and foreign headers, a bad one a call of ``invoices.reject``. That task
acknowledges late and waits for the database, so a refused message is acknowledged only when it is listed. The broker
keeps the original, so a message that comes again is read again. A message that the guard, Celery or a task fails on is
put into a queue of its own (``workers.intake.unstored``) before it is acknowledged.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown
from kombu import compression
from redis import Redis

from workers import bootstrap
from workers.coordination.connections import ONE_TRY, open_redis
from workers.intake.message import (
    REJECT,
    RUN,
    SWEEP,
    Accepted,
    TurnedAway,
    give_up,
    inspect,
    message_key,
    task_headers,
    turn_away,
)
from workers.intake.unstored import LONGEST_WAIT_SECONDS, wrap
from workers.queue.batches import TOGETHER, Bundle, Gathering, Part
from workers.queue.suspects import RedisCounter, Suspects
from workers.telemetry.liveness import Turns
from workers.transport.message_limits import MAX_DEATHS
from workers.transport.private import replace_body

if TYPE_CHECKING:
    from kombu import Connection
    from kombu.message import Message

log = structlog.get_logger()

#: Where a worker's answer to `celery inspect` is sent. An answer that nobody waits for any more ends in the intake
#: queue (see `deadletter_queue` in config/celeryconfig.py), and is no order.
REPLY_EXCHANGE = "reply.celery.pidbox"
DOORBELLS = frozenset({RUN, SWEEP})
BUG = "internal error: the log says more"
NOT_TAKEN = "compressed bodies are not taken"


#: A wait for the broker goes in steps of this length: the process may be told to stop meanwhile.
STEP_SECONDS = 0.1
MAX_STEPS = 50
#: How often the loop marks that it turns.
TURN_SECONDS = 5.0
#: Between two of Celery's heartbeats, which monitors of workers read: each tells when the next is due. Celery's own
#: choice is 2 s, a tenth of what an idle worker uses.
HEARTBEAT_SECONDS = 30.0
#: After a connection that lasted this long the waits begin anew.
CALM_SECONDS = 30.0


class Patience:
    """How long to wait before connecting again: not at all at first, then twice as long each time, up to 5 s."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: float | None = None
        self._steps = 0

    def next_steps(self) -> int:
        """How many STEP_SECONDS to wait, now that the connection was lost."""
        now = self._clock()
        again = self._last is not None and now - self._last < CALM_SECONDS
        self._last = now
        self._steps = min(self._steps * 2 or 2, MAX_STEPS) if again else 0
        return self._steps


class GuardedConsumer(Consumer):
    """Celery's consumer behind the guard."""

    class Blueprint(Consumer.Blueprint):
        """Without the 28 queues that Celery makes on RabbitMQ for messages with an ``eta``: no message waits here."""

        default_steps = tuple(step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step)

    _suspects: Suspects | None = None  #: on RabbitMQ only

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Without mingle and gossip: Celery drops tasks that another worker calls revoked, and anybody can do that.
        options = {"without_mingle": True, "without_gossip": True, "heartbeat_interval": HEARTBEAT_SECONDS}
        super().__init__(*args, **kwargs, **options)
        self._gathering: Gathering | None = None
        self._deaths = RedisCounter(_open_redis)
        self._patience = Patience(time.monotonic)
        self._turns, self._turning = Turns(), None
        bootstrap.liveness().watch("consumer", self._turns.goes_on)
        refuse_compression()

    def ensure_connected(self, conn: Connection) -> Connection:
        """Celery's part: it waits for a broker that is away, for however long that takes."""
        with self._turns.waiting():
            return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery's part, then a growing wait: a broker that takes connections but refuses all else is asked less."""
        super().on_connection_error_after_connected(exc)
        for _ in range(self._patience.next_steps()):
            maybe_shutdown()
            time.sleep(STEP_SECONDS)

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Celery's handler, behind the guard. Celery calls this for each connection."""
        self._hand_over = super().create_task_handler(*args, **kwargs)
        if self._turning is not None:
            self._turning.cancel()
        self._turning = self.timer.call_repeatedly(TURN_SECONDS, self._turns.mark)
        if self._gathering is not None:
            self._gathering.close()
        self._gathering = Gathering(self.timer, self._hand_over, self.initial_prefetch_count, self._set_aside)
        if self._suspects is not None:
            self._suspects.close()
        by_amqp = self.connection is not None and self.connection.transport.driver_type == "amqp"
        self._suspects = Suspects(self.timer, self._deaths, self._take_in) if by_amqp else None
        return self._on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """A message that kombu could not unpack. Celery would acknowledge and forget it."""
        if isinstance(message, Bundle):  # we wrote it ourselves: a bug
            message.reject()
            return
        key = message_key(message.headers, message.properties, message.body)
        self._take(message, turn_away(message.body, f"body: {_why(exc)}", key))

    def _on_message(self, message: Message) -> None:
        if self._suspects is not None and message.delivery_info.get("redelivered"):
            key = message_key(message.headers, message.properties, message.body)
            self._suspects.add(message, key)
        else:
            self._take_in(message, getattr(message, "deaths", 0))

    def _take_in(self, message: Message, deaths: int) -> None:
        try:
            self._read(message, deaths)
        except Exception:
            log.exception("message.not_judged", traceback=True)
            self._set_aside([(message, wrap(message))], lambda: None)

    def _read(self, message: Message, deaths: int) -> None:
        found = inspect(
            message.headers,
            message.properties,
            message.body,
            message.content_type,
            message.content_encoding,
            now=datetime.now(UTC),
        )
        if deaths >= MAX_DEATHS and isinstance(found, Accepted):
            found = give_up(found, deaths)
        if _is_nobodys_reply(message, found):
            message.ack()
        else:
            self._take(message, found)

    def _take(self, message: Message, found: Accepted | TurnedAway) -> None:
        call = found if isinstance(found, Accepted) else _call_of_refusal(found)
        if self._gathering is None or call.task in DOORBELLS:
            rewrite(message, call)
            try:
                self._hand_over(message)
            except Exception:
                log.exception("message.not_handed_over", messages=1, traceback=True)
                self._set_aside([(message, call)], lambda: None)
        elif call.task in TOGETHER:
            self._gathering.add(message, call)
        else:
            self._gathering.hand_over_alone(message, call)

    def _set_aside(self, parts: Sequence[Part], end: Callable[[], None]) -> None:
        """Put messages into the queue of the unstored; they are acknowledged when the broker has them there.

        In a thread of its own: the broker may refuse for a while, and this is the consumer's loop.
        """

        def acknowledge() -> None:
            try:
                for message, _ in parts:
                    message.ack()
            except self.connection_errors as error:  # it will come again: a repeat changes nothing
                log.warning("broker.not_acknowledged", error=str(error)[:200])
            finally:
                end()

        def keep() -> None:
            stopping = bootstrap.stopping().wait
            if bootstrap.unstored().insist_on_keeping([call for _, call in parts], BUG, stopping):
                self.call_soon(acknowledge)

        try:
            threading.Thread(target=keep, name="unstored", daemon=True).start()
        except RuntimeError:  # no more threads
            self.timer.call_after(LONGEST_WAIT_SECONDS, lambda: self._set_aside(parts, end))


def _is_nobodys_reply(message: Message, found: Accepted | TurnedAway) -> bool:
    """Not so where it names a task: then it is an order, whatever exchange its sender wrote into it."""
    is_reply = message.delivery_info.get("exchange") == REPLY_EXCHANGE
    return is_reply and isinstance(found, TurnedAway) and found.task is None


def _call_of_refusal(refused: TurnedAway) -> Accepted:
    log.debug("message.turned_away", task=refused.task, reason=refused.reason, message_key=refused.message_key)
    return Accepted(REJECT, str(uuid.uuid4()), refused.arguments)


def _open_redis() -> Redis:
    from workers.app import settings

    return open_redis(settings.redis_url, ONE_TRY)


def rewrite(message: Message, call: Accepted) -> None:
    """Replace a kombu message's content by a call of ours. Its delivery tag stays, so it can be acknowledged."""
    replace_body(message, call.arguments)
    message.headers = task_headers(call.task, call.id)
    message.properties = {
        "delivery_tag": message.delivery_tag,
        "correlation_id": call.id,
        "delivery_info": message.delivery_info,
    }


def refuse_compression() -> None:
    """Make kombu fail on compressed bodies: it would unpack them without any bound before a consumer sees them."""
    for kind in compression.encoders():
        compression.register(compression.get_encoder(kind)[0], _refuse, kind)


def _refuse(body: object) -> bytes:
    raise ValueError(NOT_TAKEN)


def _why(error: Exception) -> str:
    """The reason that is listed: our own errors' words, of others their kind too."""
    if isinstance(error, LookupError):  # a compression that kombu does not know
        return NOT_TAKEN
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:200]
