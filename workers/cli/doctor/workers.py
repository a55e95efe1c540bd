"""The processes that work: whether they answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.broker import embedded_runs
from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings


def check_workers(config: Settings) -> Iterator[Finding]:
    """Asks running workers to say that they are there; information only, they may run elsewhere or not yet."""
    with contextlib.suppress(Exception):
        if config.embedded_broker and not embedded_runs(config):
            yield Finding("workers", "note", "none answers: start them by `invoices up`")
            return
        from celery import Celery

        from config.celeryconfig import celery_settings

        app = Celery(config_source=celery_settings(config), set_as_current=False)
        replies = app.control.ping(timeout=1.0)
        names = sorted(name for reply in replies for name in reply)
        yield Finding(
            "workers", "ok" if names else "note", ", ".join(names) or "none answers: start them by `invoices up`"
        )
        return
    yield Finding("workers", "note", "can't be asked while the broker is away")
