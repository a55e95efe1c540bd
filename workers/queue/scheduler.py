"""Beat's scheduler: it sends no second sweep while the first still waits in the queue.

Otherwise beat would queue one every few seconds for as long as all workers are down, each saying the same as the first.
A sweep has a worker look at every lane at once. That is a second net: each does so once a second by itself
(``workers/engine/pump.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import beat
from kombu.utils.objects import cached_property

from workers import bootstrap
from workers.telemetry.liveness import Turns

if TYPE_CHECKING:
    from kombu import Producer


class Scheduler(beat.Scheduler):
    """Celery's in-memory scheduler, for entries that name their queue and may be skipped while a message waits there.

    A skipped sweep loses nothing: a pump asks SQL every second by itself, and at once when it starts.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._turns = Turns()
        super().__init__(*args, **kwargs)
        bootstrap.liveness().watch("beat", self._turns.goes_on)

    @cached_property
    def producer(self) -> Producer:
        """As Celery's: it connects, and waits for a broker that is away, however long that takes."""
        with self._turns.waiting():
            return super().producer

    def tick(self, *args: object, **kwargs: object) -> float:
        """As Celery's: send what is due; returns how many seconds to wait."""
        seconds: float = super().tick(*args, **kwargs)
        self._turns.mark()
        return seconds

    def apply_async(
        self, entry: beat.ScheduleEntry, producer: Producer | None = None, advance: bool = True, **kwargs: object
    ) -> object:
        """Send the entry's task, or None where its queue still holds a message."""
        try:
            sent = None
            if producer is None or not self._is_waiting(entry.options["queue"], producer):
                sent = super().apply_async(entry, producer=producer, advance=advance, **kwargs)
            elif advance:
                self.reserve(entry)
        except Exception:
            # After a failed reconnect the producer's channel is closed for good, and Celery would go on using it: no
            # sweep would ever be sent again. Closed, the next send connects anew and waits for the broker.
            self.close()
            raise
        bootstrap.service_manager().ready("beat")
        return sent

    def _is_waiting(self, queue: str, producer: Producer) -> bool:
        connection = producer.connection
        try:
            declared = self.app.amqp.queues[queue].bind(producer.channel).queue_declare()
        except (*connection.connection_errors, *connection.channel_errors):
            return False  # Celery's own send reconnects
        return bool(declared.message_count)
