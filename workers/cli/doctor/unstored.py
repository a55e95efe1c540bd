"""Messages that could be neither stored nor listed: they wait in a queue of the broker and are tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workers.cli.doctor.broker import TIMEOUT_SECONDS, count_messages
from workers.cli.doctor.finding import Finding, ago, counted
from workers.cli.doctor.redis_server import embedded_runs

if TYPE_CHECKING:
    from config.settings import Settings


def check_unstored(config: Settings) -> Iterator[Finding]:
    """How many, since when, and why. Nothing is found where there are none, or the embedded broker does not run."""
    from workers.intake.unstored import QUEUE

    if config.embedded_broker and not embedded_runs(config):
        return
    messages, (since, why) = count_messages(config, QUEUE), _read_note(config)
    if not messages and since is None:
        return
    now = datetime.now(UTC)
    lasting = f" for {ago(since, now)}" if since else ""
    messages = max(1, messages)  # the only one is being tried at this moment
    detail = f"{counted(messages, 'message')} could be neither stored nor listed{lasting} ({why or 'the log says why'})"
    advice = "they are tried again at least once a minute, and stored by themselves once the cause is mended"
    yield Finding("unstored", "wrong", f"{detail}: {advice}", "unstored", since, messages)


def _read_note(config: Settings) -> tuple[datetime | None, str]:
    from workers.coordination.connections import open_redis
    from workers.intake.unstored import NOTE

    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    with open_redis(config.redis_url, timeouts) as client:
        found = client.get(NOTE)
    if not isinstance(found, bytes):
        return None, ""
    note = json.loads(found)
    return datetime.fromtimestamp(note["since"], UTC), str(note["why"])
