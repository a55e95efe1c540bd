"""The messages a consumer holds: acknowledged, put back, their leases renewed; and those of dead consumers brought
back."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

from workers.transport.message import (
    count_deaths_of_item,
    drop_odd_priority,
    mark_redelivered,
    read_record,
    read_unreadable,
    split_record,
)
from workers.transport.message_limits import LONELY_AFTER_DEATHS, MAX_BYTES_IN_HAND
from workers.transport.scripts import FORGET, OVERDUE, PUT_BACK, READ, RENEW

log = structlog.get_logger()

#: Messages put back by one script, which blocks the whole server meanwhile.
BATCH = 100
#: Batches a sweep handles before the consumer goes on with its own messages.
BATCHES = 20
#: A message's lease is renewed for this long after the claim, longer than any task takes. Then what a hanging worker
#: holds comes back to the others.
HOLD_SECONDS = 900.0


class QoS(redis.QoS):
    """kombu's, except that the claim has already written the records.

    ``visibility_timeout`` is a lease here: the holder of a message renews it several times within that time, so a dead
    worker's messages come back soon and a slow worker's stay with it.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._held: dict[str, float] = {}  # tag -> when it was claimed, by this process's clock
        self._due = 0.0
        self._bytes: dict[str, int] = {}  # tag -> the message's length
        self._lonely: set[str] = set()  # tags of messages that may kill this process
        self._alone: set[str] = set()  # tags of messages with a task of their own

    # --- one message --------------------------------------------------------------------------------------------------

    def hold(self, tag: str) -> None:
        """A message is, or may be, recorded under this tag."""
        self._held[tag] = time.monotonic()

    def weigh(self, tag: str, item: bytes) -> None:
        """A message has come: its bytes count as in hand."""
        self._bytes[tag] = len(item)
        if count_deaths_of_item(item) >= LONELY_AFTER_DEATHS:
            self._lonely.add(tag)

    def release(self, tag: str) -> None:
        """Nothing is recorded under this tag any more."""
        self._held.pop(tag, None)
        self._bytes.pop(tag, None)
        self._lonely.discard(tag)
        self._alone.discard(tag)

    def count_alone(self, tag: str) -> None:
        """This message takes up the room of several, until it is acknowledged or given back."""
        if tag in self._held:
            self._alone.add(tag)

    def can_consume(self) -> bool:
        """Whether more may be taken in hand: messages, and bytes."""
        return self.can_consume_max_estimate() != 0 and sum(list(self._bytes.values())) < MAX_BYTES_IN_HAND

    def can_consume_max_estimate(self) -> int | None:
        """How many more messages may be taken in hand; None: any number."""
        room: int | None = super().can_consume_max_estimate()
        return None if room is None else max(room - len(self._alone) * (self.channel.room_alone - 1), 0)

    def in_hand(self) -> bool:
        """Whether any message was claimed and not acknowledged or given back."""
        return bool(self._bytes)

    def holds_lonely(self) -> bool:
        """Whether one of them has to be alone."""
        return bool(self._lonely)

    def append(self, message: object, delivery_tag: str) -> None:
        """Take over a delivered message. It is recorded here only if no claim has done so."""
        if delivery_tag in self._held:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
            self.hold(delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message. On an error its lease runs out, and it is delivered again."""
        self.forget([delivery_tag])

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Forget a message, or put it at the end of its queue."""
        if requeue:
            try:
                self.restore_by_tag(delivery_tag, leftmost=True)
            finally:
                virtual.QoS.ack(self, delivery_tag)
        else:
            self.forget([delivery_tag])

    def forget(self, tags: Sequence[str]) -> None:
        """Forget messages. On an error their leases run out, and they are delivered again.

        Either way they take up no more of what may be in hand: Celery logs the error and goes on.
        """
        try:
            self.channel.run_script(FORGET, [self.unacked_index_key, self.unacked_key], tags)
        finally:
            for tag in tags:
                virtual.QoS.ack(self, tag)
                self.release(tag)

    def restore_by_tag(self, tag: str, client: object = None, leftmost: bool = False) -> None:
        """Put a message back at the head of its queue; ``leftmost``: at its end."""
        try:
            self._restore([tag], "LPUSH" if leftmost else "RPUSH")
        finally:
            self.release(tag)

    def put_back(self, tags: Sequence[str]) -> None:
        """Put back messages that were claimed in this order: the oldest at the very head of its queue."""
        self._restore(list(reversed(tags)), "RPUSH")
        for tag in tags:
            self.release(tag)

    def restore_unacked(self, client: object = None) -> list[object]:
        """Put back all that was delivered and not acknowledged, the oldest at the very head."""
        tags = list(reversed(self._held))
        try:
            for start in range(0, len(tags), BATCH):
                self._restore(tags[start : start + BATCH], "RPUSH")
        except self.channel.connection_errors as error:
            log.warning("broker.messages_not_put_back", messages=len(tags), error=str(error)[:200])
        self._delivered.clear()
        for tag in tags:
            self.release(tag)
        return []

    # --- leases -------------------------------------------------------------------------------------------------------

    def restore_visible(self, *args: object, **kwargs: object) -> None:
        """Renew what is held, then bring back what nobody renewed. Does nothing if called again too soon."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + min(self.channel.unacked_restore_interval, self.visibility_timeout / 4)
        self.renew()
        if self.channel.active_queues:
            self.restore_overdue()
            self.channel.renew_bindings()

    def renew(self) -> None:
        """Say that this consumer is alive and still holds its messages."""
        oldest = time.monotonic() - HOLD_SECONDS
        tags = [tag for tag, since in list(self._held.items()) if since > oldest]
        for start in range(0, len(tags), BATCH):
            self.channel.run_script(RENEW, [self.unacked_index_key], tags[start : start + BATCH])

    def restore_overdue(self) -> None:
        """Put back the messages of consumers that died."""
        keys = [self.unacked_index_key, self.unacked_key]
        for _ in range(BATCHES):
            found = self.channel.run_script(OVERDUE, keys, [self.visibility_timeout, BATCH])
            pairs = list(zip(found[::2], found[1::2], strict=True))
            back = self._put_back(pairs, "RPUSH", self.visibility_timeout) if pairs else 0
            if back:
                log.info("broker.messages_brought_back", messages=back)
            if not back:
                return

    def _restore(self, tags: list[str], side: str) -> None:
        while tags:
            records = self.channel.run_script(READ, [self.unacked_key], tags)
            pairs: list[tuple[object, bytes]] = [
                (tag, record) for tag, record in zip(tags, records, strict=False) if record is not None
            ]
            if pairs:
                self._put_back(pairs, side, "")
            tags = tags[len(records) :]

    def _put_back(self, pairs: list[tuple[object, bytes]], side: str, overdue: object) -> int:
        """``overdue``: seconds without a renewal, after which the consumer counts as dead; '' where it gives back
        itself."""
        lists: list[str] = []
        arguments: list[object] = [side, overdue]
        for tag, record in pairs:
            names, message = self._address(record, died=overdue != "")
            lists += names
            arguments += [tag, message, len(names)]
        back: int = self.channel.run_script(PUT_BACK, [self.unacked_index_key, self.unacked_key, *lists], arguments)
        return back

    def _address(self, record: bytes, died: bool) -> tuple[list[str], str]:
        """The lists that a record's message goes back to, and the message."""
        found = read_record(record)
        nowhere = self.channel.deadletter_queue or "celery"
        if found is None:
            item, queue = split_record(record)
            queue = queue or nowhere
            return [queue], dumps(mark_redelivered(read_unreadable(item, queue), died))
        message, exchange, routing_key = found
        drop_odd_priority(message)
        lists: list[str] = self.channel.lists_for(message, exchange, routing_key, otherwise=nowhere)
        return lists, dumps(mark_redelivered(message, died))
