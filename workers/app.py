"""The Celery app. It imports only the settings; tasks and guard are named, not imported, so this is cheap to import.

``celery -A workers.app worker|beat|inspect …`` starts here. A wrong setting ends the process with one line.
"""

from __future__ import annotations

from celery import Celery
from celery.signals import celeryd_init, setup_logging

from config.celeryconfig import ATOMIC_CLAIMS, celery_settings
from config.logging import configure_logging, redact_value, register_secrets
from config.settings import Settings, SettingsError, load_settings


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise SystemExit(f"invoices: {error}") from None


settings = _settings_or_exit()
register_secrets(settings.secrets())

app = Celery(
    "invoices", include=["workers.queue.tasks", "workers.queue.lifespan"], config_source=celery_settings(settings)
)


@celeryd_init.connect(weak=False)
def _claim_atomically(**_: object) -> None:
    """In worker processes only, before they connect. Senders keep kombu's own transport."""
    if ATOMIC_CLAIMS:
        from workers.transport import MissingHookError, install

        try:
            install()
        except MissingHookError as error:
            raise SystemExit(f"invoices: {error}") from None


@celeryd_init.connect(weak=False)
def _limit_remote_control(**_: object) -> None:
    """In worker processes only: they are the ones that take commands."""
    from workers.transport.remote_control import limit_remote_control

    limit_remote_control(settings.remote_control, redact_value)


@setup_logging.connect(weak=False)
def _set_up_logging(loglevel: int | str | None = None, **_: object) -> None:
    """Celery's processes log as ours do; INVOICES_LOG_LEVEL counts, not ``-l``."""
    configure_logging(settings.log_format, settings.log_level)
