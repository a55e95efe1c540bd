"""Turns foreign messages away before Celery sees them, and hands over the others in our own words.

``GuardedConsumer`` stands in ``worker_consumer``. Each message is judged by ``workers.intake.message`` and rewritten in
place: a good one into a call without floats and foreign headers, a bad one into a call of ``invoices.reject``, a late
acknowledging task that waits for the database. So a refused message is acknowledged only when it is listed. The broker
keeps the original: a redelivered message is judged again. What the guard itself, Celery or a task trips over is set
aside in a queue of its own (``workers.intake.unstored``) before it is acknowledged.
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
from workers.transport.message_limits import MAX_DEATHS
from workers.transport.private import replace_body

if TYPE_CHECKING:
    from kombu.message import Message

log = structlog.get_logger()

#: Where a worker's answer to `celery inspect` is sent; one that nobody waits for any more ends in the intake queue
#: (see `deadletter_queue` in config/celeryconfig.py) and is no order.
REPLY_EXCHANGE = "reply.celery.pidbox"
BELLS = frozenset({RUN, SWEEP})
BUG = "internal error: the log says more"
NOT_TAKEN = "compressed bodies are not taken"


#: A wait for the broker is looked out of so often: the process may be told to stop.
STEP_SECONDS = 0.1
MAX_STEPS = 50
#: A connection that lasted so long was a good one.
CALM_SECONDS = 30.0


class Patience:
    """How long to wait before connecting again: nothing at first, then twice as long each time, up to five seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: float | None = None
        self._steps = 0

    def next_steps(self) -> int:
        """Steps of a tenth of a second, now that the connection was lost again."""
        now = self._clock()
        again = self._last is not None and now - self._last < CALM_SECONDS
        self._last = now
        self._steps = min(self._steps * 2 or 2, MAX_STEPS) if again else 0
        return self._steps


class GuardedConsumer(Consumer):
    """Celery's consumer with a judge in front."""

    class Blueprint(Consumer.Blueprint):
        """Without the 28 queues that Celery makes on RabbitMQ for messages with an ``eta``: none is waited for."""

        default_steps = tuple(step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step)

    _suspects: Suspects | None = None  #: on RabbitMQ

    def __init__(self, *args: object, **kwargs: object) -> None:
        # Tasks that another worker says are revoked would be dropped, and anybody can say so.
        super().__init__(*args, **kwargs, without_mingle=True, without_gossip=True)
        self._gathering: Gathering | None = None
        self._deaths = RedisCounter(_open_redis)
        self._patience = Patience(time.monotonic)
        refuse_compression()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery's, and then a wait that grows: a broker that takes connections and refuses all else is asked less."""
        super().on_connection_error_after_connected(exc)
        for _ in range(self._patience.next_steps()):
            maybe_shutdown()
            time.sleep(STEP_SECONDS)

    def create_task_handler(self, *args: object, **kwargs: object) -> Callable[[Message], None]:
        """Celery's handler behind the guard; called anew for each connection."""
        self._hand_over = super().create_task_handler(*args, **kwargs)
        if self._gathering is not None:
            self._gathering.close()
        self._gathering = Gathering(self.timer, self._hand_over, self.initial_prefetch_count, self._set_aside)
        if self._suspects is not None:
            self._suspects.close()
        by_amqp = self.connection is not None and self.connection.transport.driver_type == "amqp"
        self._suspects = Suspects(self.timer, self._deaths, self._take_in) if by_amqp else None
        return self._on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """A message that kombu could not even unpack: Celery would acknowledge and forget it."""
        if isinstance(message, Bundle):  # our own words: a bug
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
            self._judge(message, deaths)
        except Exception:
            log.exception("message.not_judged", traceback=True)
            self._set_aside([(message, wrap(message))], lambda: None)

    def _judge(self, message: Message, deaths: int) -> None:
        judged = inspect(
            message.headers,
            message.properties,
            message.body,
            message.content_type,
            message.content_encoding,
            now=datetime.now(UTC),
        )
        if deaths >= MAX_DEATHS and isinstance(judged, Accepted):
            judged = give_up(judged, deaths)
        if _is_nobodys_reply(message, judged):
            message.ack()
        else:
            self._take(message, judged)

    def _take(self, message: Message, judged: Accepted | TurnedAway) -> None:
        call = judged if isinstance(judged, Accepted) else _call_of_refusal(judged)
        if self._gathering is None or call.task in BELLS:
            rewrite(message, call)
            self._hand_over(message)
        elif call.task in TOGETHER:
            self._gathering.add(message, call)
        else:
            self._gathering.hand_over_alone(message, call)

    def _set_aside(self, parts: Sequence[Part], end: Callable[[], None]) -> None:
        """Keep messages in the queue of those that are unstored; they are acknowledged when the broker has them there.

        In a thread of its own: the broker may refuse for a while, and this is the loop.
        """

        def acknowledge() -> None:
            try:
                for message, _ in parts:
                    message.ack()
            except self.connection_errors as error:  # it comes again, and is then there twice, which is once
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


def _is_nobodys_reply(message: Message, judged: Accepted | TurnedAway) -> bool:
    """A message with a task is an order, whatever exchange its sender wrote into it."""
    to_inspect = message.delivery_info.get("exchange") == REPLY_EXCHANGE
    return to_inspect and isinstance(judged, TurnedAway) and judged.task is None


def _call_of_refusal(refused: TurnedAway) -> Accepted:
    log.debug("message.turned_away", task=refused.task, reason=refused.reason, message_key=refused.message_key)
    return Accepted(REJECT, str(uuid.uuid4()), refused.arguments)


def _open_redis() -> Redis:
    from workers.app import settings

    return open_redis(settings.redis_url, ONE_TRY)


def rewrite(message: Message, call: Accepted) -> None:
    """Replace what is in a kombu message by a call of ours; its delivery tag stays, so it can be acknowledged."""
    replace_body(message, call.arguments)
    message.headers = task_headers(call.task, call.id)
    message.properties = {
        "delivery_tag": message.delivery_tag,
        "correlation_id": call.id,
        "delivery_info": message.delivery_info,
    }


def refuse_compression() -> None:
    """Make kombu fail on compressed bodies: it unpacks them without any bound before a consumer sees the message."""
    for kind in compression.encoders():
        compression.register(compression.get_encoder(kind)[0], _refuse, kind)


def _refuse(body: object) -> bytes:
    raise ValueError(NOT_TAKEN)


def _why(error: Exception) -> str:
    """A reason for the list; our own errors say it in our words, others by what kind they are."""
    if isinstance(error, LookupError):  # kombu knows no compression of that name
        return NOT_TAKEN
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:200]
