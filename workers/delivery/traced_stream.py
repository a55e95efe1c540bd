"""The stream, with a span for each event that belongs to a trace."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.asyncio import Redis

from domain.trace import trace_of_event
from domain.tracing import Tracer
from workers.delivery.stream import EventStream


class TracedStream(EventStream):
    """Used only where spans are recorded, because it looks into every event."""

    def __init__(self, redis_client: Redis, stream: str, maxlen: int, tracer: Tracer) -> None:
        super().__init__(redis_client, stream, maxlen)
        self._tracer = tracer

    async def append(self, events: Sequence[tuple[str, bytes]], fence: int) -> None:
        """As ``EventStream`` does. Spans are recorded once the events are added: a failed append is repeated."""
        begun_at = time.monotonic()
        await super().append(events, fence)
        seconds = time.monotonic() - begun_at
        for event_id, body in events:
            trace = trace_of_event(body)
            if trace is not None:
                about = {"event_id": event_id}
                self._tracer.begin("event.publish", trace, about, kind="producer", seconds_ago=seconds).end()


def open_stream(redis_client: Redis, stream: str, maxlen: int, tracer: Tracer) -> EventStream:
    """The stream of events, traced where spans are recorded."""
    if tracer.is_on:
        return TracedStream(redis_client, stream, maxlen, tracer)
    return EventStream(redis_client, stream, maxlen)
