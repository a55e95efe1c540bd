"""Callbacks that came while the database was away: answered, but not yet stored in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.broker import count_messages
from workers.cli.doctor.finding import Finding, counted
from workers.cli.doctor.redis_server import embedded_runs

if TYPE_CHECKING:
    from config.settings import Settings

#: While nothing is wrong, a web process empties the queue within this.
PATIENCE_SECONDS = 12.0
LOOK_SECONDS = 0.5


def check_shelf(config: Settings) -> Iterator[Finding]:
    """Nothing is found where none wait, nor where the embedded broker does not run."""
    from workers.web.shelf import QUEUE

    if config.embedded_broker and not embedded_runs(config):
        return
    until, waiting = time.monotonic() + PATIENCE_SECONDS, count_messages(config, QUEUE)
    while waiting and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        before, waiting = waiting, count_messages(config, QUEUE)
        if waiting < before:  # they are being taken
            return
    if waiting:
        detail = (
            f"{counted(waiting, 'callback')} that came while the database was away, and were answered, wait in the "
            "broker: a web process keeps them once it runs and the database is there; its log says what is in the way"
        )
        yield Finding("shelf", "wrong", detail, "callbacks_waiting", None, waiting, "invoices web")
