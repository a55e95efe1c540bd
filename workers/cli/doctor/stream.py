"""The stream of events: what is not on it yet, and whether its fence lets the next publisher in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from workers.cli.doctor.finding import Finding, ago, counted
from workers.cli.doctor.redis_server import open_doctor_redis

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

#: An event normally has its position within a second.
UNPLACED = timedelta(minutes=1)


def check_stream(database: Database, config: Settings) -> Iterator[Finding]:
    """From rows, and the fence in Redis where it answers."""
    from domain.why.beside import SOON
    from workers.store.fence import read_fence
    from workers.store.reads.stream import COUNTED, read_untold

    kept = _read_kept(config)  # read before the row, whose fence only rises
    now = database.time()
    untold, fence = database.read(read_untold, now), database.read(read_fence, now)
    ahead = None if kept is None else _fence_ahead(f"{config.stream}:fence", kept, fence)
    if ahead:
        yield Finding("stream", "wrong", ahead, "fence_ahead")
    if untold.oldest_at is not None and now - untold.oldest_at > SOON:
        are = counted(untold.events, "event is", "events are", most=COUNTED)
        detail = f"{are} not on the stream, the oldest for {ago(untold.oldest_at, now)}"
        held = "a worker is trying right now" if untold.held_until else "no worker tries: is one running?"
        yield Finding("stream", "wrong", f"{detail}; {held}", "unpublished", untold.oldest_at, untold.events)
    elif not ahead:
        yield Finding("stream", "ok", f"told of every event ({untold.events} on their way)")
    yield from _check_positions(database, now)


def _check_positions(database: Database, now: datetime) -> Iterator[Finding]:
    """Readers that follow the log by position miss events that have none."""
    from workers.store.reads.stream import COUNTED, read_unplaced

    unplaced = database.read(read_unplaced, now - UNPLACED)
    if unplaced.oldest_at is None:
        return
    have = counted(unplaced.events, "event has", "events have", most=COUNTED)
    detail = (
        f"{have} no position, the oldest for {ago(unplaced.oldest_at, now)}, "
        "while newer ones were told: /v1/events passes over them; does a worker of this release run?"
    )
    yield Finding("log", "wrong", detail, "unplaced", unplaced.oldest_at, unplaced.events)


def _read_kept(config: Settings) -> bytes | None:
    """The stream's fence as Redis has it."""
    from redis.exceptions import RedisError, ResponseError

    try:
        with open_doctor_redis(config.redis_url) as client:
            kept = cast("bytes | None", client.get(f"{config.stream}:fence"))
    except ResponseError as error:
        return str(error).encode()  # the key holds something else than a string
    except (RedisError, OSError):
        return None  # the check of Redis reports it
    return kept


def _fence_ahead(key: str, kept: bytes, fence: int) -> str | None:
    """What is wrong when Redis's fence is ahead of the one that the next publisher will hold, or is no fence at all."""
    from workers.delivery.stream import read_kept

    in_force = read_kept(kept)
    if in_force is None:
        found = kept[:40].decode(errors="replace")
        return f"{key} holds no fence ({found}): the next publisher replaces it; who wrote there?"
    if in_force <= fence:
        return None
    return (
        f"{key} ({in_force}) is ahead of the next publisher's fence by {in_force - fence}: "
        "it will be lifted with the next event; was a clock ahead, or the database restored?"
    )
