"""The stream of events: what it has not been told, and whether the next publisher will be let in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from workers.cli.doctor.finding import Finding, ago
from workers.cli.doctor.redis_server import open_doctor_redis

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: Events are told within a second; the oldest untold for so long, nobody tells it.
UNTOLD = timedelta(seconds=20)


def check_stream(database: Database, config: Settings) -> Iterator[Finding]:
    """From rows, and the fence in Redis where it answers."""
    from workers.store.reads.stream import COUNTED, read_untold

    with database.reading() as connection:
        now = database.now(connection)
        untold = read_untold(connection, now)
    ahead = _fence_ahead(config, now)
    if ahead:
        yield Finding("stream", "wrong", ahead, "fence_ahead")
    if untold.oldest_at is not None and now - untold.oldest_at > UNTOLD:
        count = f"{untold.events:,}" + ("+" if untold.events == COUNTED else "")
        detail = f"{count} events are not on the stream, the oldest for {ago(untold.oldest_at, now)}"
        held = "a worker tries just now" if untold.held_until else "nobody tries: is a worker running?"
        yield Finding("stream", "wrong", f"{detail}; {held}", "unpublished", untold.oldest_at, untold.events)
    elif not ahead:
        yield Finding("stream", "ok", f"told of every event ({untold.events} on their way)")


def _fence_ahead(config: Settings, now: datetime) -> str | None:
    """Whether the stream has been written under a fence that the next publisher's will not reach."""
    from redis.exceptions import RedisError

    try:
        with open_doctor_redis(config.redis_url) as client:
            kept: Any = client.get(f"{config.stream}:fence")
    except (RedisError, OSError):
        return None  # told by the check of Redis
    fence = int(kept) if kept and kept.isdigit() else 0
    ahead = fence - int(now.timestamp() * 1_000_000)
    if ahead <= 0:
        return None
    return (
        f"the fence of {config.stream} ({fence}) is ahead of the next publisher's by {ahead / 1e6:.0f} s: "
        "it turns every publisher away; was a clock ahead?"
    )
