"""Beat's scheduler: what nobody has taken yet is not sent again.

While all workers are down beat would queue one sweep a second without end, and each says the same as the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import beat

if TYPE_CHECKING:
    from kombu import Producer


class Scheduler(beat.Scheduler):
    """Celery's in-memory scheduler, for entries that name their queue and may be left out while something waits there.

    Nothing is lost by it: a pump that runs asks SQL by itself every second, one that starts asks at once.
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
            # Who gave up connecting again is left with a channel that is closed for good, and Celery would go on using
            # it: no sweep would ever be sent again. The next one connects anew, and waits for the broker until it can.
            self.close()
            raise

    def _is_waiting(self, queue: str, producer: Producer) -> bool:
        connection = producer.connection
        try:
            declared = self.app.amqp.queues[queue].bind(producer.channel).queue_declare()
        except (*connection.connection_errors, *connection.channel_errors):
            return False  # Celery's own sending knows how to connect again
        return bool(declared.message_count)
