"""Beat's scheduler: it sends no second sweep while the first still waits in the queue.

Otherwise beat would queue one a second for as long as all workers are down, each saying the same as the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import beat

if TYPE_CHECKING:
    from kombu import Producer


class Scheduler(beat.Scheduler):
    """Celery's in-memory scheduler, for entries that name their queue and may be skipped while a message waits there.

    A skipped sweep loses nothing: a pump asks SQL every second by itself, and at once when it starts.
    """

    def apply_async(
        self, entry: beat.ScheduleEntry, producer: Producer | None = None, advance: bool = True, **kwargs: object
    ) -> object:
        """Send the entry's task, or None where its queue still holds a message."""
        try:
            if producer is not None and self._is_waiting(entry.options["queue"], producer):
                if advance:
                    self.reserve(entry)
                return None
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        except Exception:
            # After a failed reconnect the producer's channel is closed for good, and Celery would go on using it: no
            # sweep would ever be sent again. Closed, the next send connects anew and waits for the broker.
            self.close()
            raise

    def _is_waiting(self, queue: str, producer: Producer) -> bool:
        connection = producer.connection
        try:
            declared = self.app.amqp.queues[queue].bind(producer.channel).queue_declare()
        except (*connection.connection_errors, *connection.channel_errors):
            return False  # Celery's own send reconnects
        return bool(declared.message_count)
