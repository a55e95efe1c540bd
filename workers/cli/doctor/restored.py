"""Whether the stream has an event that the database lacks: it was restored, and `invoices restored` was not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from workers.cli.doctor.finding import Finding, clock
from workers.cli.doctor.redis_server import open_doctor_redis

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database

OURS = re.compile(r"evt_[0-9a-z]+")


def check_restored(database: Database, config: Settings) -> Iterator[Finding]:
    """By the stream's newest entry. Nothing is found where all is well."""
    from workers.store.reads.stream import read_knowledge

    entry = _newest_entry(config)
    if entry is None:
        return
    event_id, at = entry
    now, known = database.time(), database.read(read_knowledge, event_id)
    removed = config.retention_days and at < now - timedelta(days=config.retention_days)
    if known.event or removed or (known.restored_at is not None and known.restored_at >= at):
        return
    detail = (
        f"the stream has an event of {clock(at)} ({event_id}) that this database does not have: if that was "
        "restored from a backup, run `invoices restored` before receivers drop what they are told"
    )
    yield Finding("restored", "wrong", detail, "rewound", at, command="invoices restored")


def _newest_entry(config: Settings) -> tuple[str, datetime] | None:
    """Id and time of the stream's newest event; None where there is none, or none of ours."""
    from redis.exceptions import RedisError

    from domain.exact_json import JsonError, read_json

    try:
        with open_doctor_redis(config.redis_url) as client:
            entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrevrange(config.stream, count=1))
        event = read_json(entries[0][1][b"event"].decode())
        event_id, at = str(event["id"]), datetime.fromisoformat(event["time"])
        return (event_id, at) if OURS.fullmatch(event_id) and at.tzinfo else None
    except (RedisError, OSError):
        return None  # the check of Redis reports it
    except (JsonError, UnicodeDecodeError, IndexError, KeyError, TypeError, ValueError):
        return None
