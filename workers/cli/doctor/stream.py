"""The stream of events: what it has not been told, and whether the next publisher will be let in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
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
    from workers.store.fence import read_fence
    from workers.store.reads.stream import COUNTED, read_untold

    with database.reading() as connection:
        now = database.now(connection)
        untold = read_untold(connection, now)
        fence = read_fence(connection, now)
    ahead = _fence_ahead(config, fence)
    if ahead:
        yield Finding("stream", "wrong", ahead, "fence_ahead")
    if untold.oldest_at is not None and now - untold.oldest_at > UNTOLD:
        count = f"{untold.events:,}" + ("+" if untold.events == COUNTED else "")
        detail = f"{count} events are not on the stream, the oldest for {ago(untold.oldest_at, now)}"
        held = "a worker tries just now" if untold.held_until else "nobody tries: is a worker running?"
        yield Finding("stream", "wrong", f"{detail}; {held}", "unpublished", untold.oldest_at, untold.events)
    elif not ahead:
        yield Finding("stream", "ok", f"told of every event ({untold.events} on their way)")


def _fence_ahead(config: Settings, fence: int) -> str | None:
    """Whether what stands in Redis is ahead of the fence that the next publisher will hold, or no fence at all."""
    from redis.exceptions import RedisError, ResponseError

    from workers.outbound.stream import read_kept

    key = f"{config.stream}:fence"
    try:
        with open_doctor_redis(config.redis_url) as client:
            kept: Any = client.get(key)
    except ResponseError as error:
        return f"{key} holds no fence ({error}): the next publisher replaces it; who wrote there?"
    except (RedisError, OSError):
        return None  # told by the check of Redis
    in_force = 0 if kept is None else read_kept(kept)
    if in_force is None:
        return f"{key} holds no fence ({kept[:40]!r}): the next publisher replaces it; who wrote there?"
    if in_force <= fence:
        return None
    return (
        f"the fence of {config.stream} ({in_force}) is ahead of the next publisher's by {in_force - fence}: "
        "it will be lifted with the next event; was a clock ahead, or the database restored?"
    )
