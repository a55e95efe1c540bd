"""The broker: whether it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings

TIMEOUT_SECONDS = 5.0


def check_broker(config: Settings) -> Iterator[Finding]:
    """Connects as whoever sends does."""
    from kombu import Connection

    from config.celeryconfig import celery_settings
    from config.urls import redact_url

    if config.embedded_broker and not embedded_runs(config):
        detail = f"the embedded Valkey of {config.home} does not run: start it by `invoices up`"
        yield Finding("broker", "wrong", detail, "not_running", command="invoices up")
        return
    celery = celery_settings(config)
    options = {"ssl": celery["broker_use_ssl"], "transport_options": celery["broker_transport_options"]}
    with Connection(celery["broker_url"], **options, connect_timeout=TIMEOUT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    yield Finding("broker", "ok", redact_url(config.broker_url))


def embedded_runs(config: Settings) -> bool:
    """Whether the Valkey of the home folder is there."""
    from workers.embedded.valkey import is_running

    return is_running(config.home)
