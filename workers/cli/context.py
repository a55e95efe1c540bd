"""What commands work with: the settings, and the database and broker that they name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workers.cli.errors import CommandFailed

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.store import Store


def settings(*, need_keys: bool = False) -> Settings:
    """The settings of this process. Raises SettingsError; with ``need_keys`` also when a provider's key can't be read.

    From here on warnings and errors are logged to stderr; stdout belongs to the command.
    """
    from config.settings import load_settings

    given = load_settings(need_keys=need_keys)
    _configure(given)
    return given


def settings_to_read() -> Settings:
    """The same for commands that only read. To start fast, they import structlog only when something is logged.

    So none of the modules they import may create a structlog logger; a test checks that.
    """
    from config.settings import load_settings

    given = load_settings(need_keys=False)
    logging.root.handlers[:] = [_FirstRecord(given)]
    return given


class _FirstRecord(logging.Handler):
    """Configures logging when the standard library logs its first record, then handles that record."""

    def __init__(self, given: Settings) -> None:
        super().__init__(logging.WARNING)
        self._given = given

    def emit(self, record: logging.LogRecord) -> None:
        _configure(self._given)
        logging.getLogger(record.name).handle(record)


def _configure(given: Settings) -> None:
    from config.logging import configure_logging, register_secrets

    register_secrets(given.secrets())
    configure_logging(given.log_format, "debug" if given.log_level == "debug" else "warning")


@contextmanager
def open_database(given: Settings | None = None, *, of_any_release: bool = False) -> Iterator[Database]:
    """The database that the settings name. Raises CommandFailed for an SQLite file that does not exist.

    Raises SchemaTooOld for a database of an older release, unless ``of_any_release``: for callers that report on it.
    """
    from workers.store.database import Database
    from workers.store.release import require_release

    given = given or settings_to_read()
    require_file(given.database_url)
    database = Database(given.database_url, pool_size=2)
    try:
        if not of_any_release:
            database.read(require_release)
        yield database
    finally:
        database.close()


def require_file(database_url: str) -> None:
    """SQLite would make an empty file. Raises CommandFailed where there is none."""
    path = sqlite_path(database_url)
    if path is not None and not path.exists():
        raise CommandFailed(f"there is no database {path}: run `invoices migrate`")


def sqlite_path(database_url: str) -> Path | None:
    """The file of an SQLite database; None for another one."""
    kind, _, place = database_url.partition(":///")
    return Path(place.partition("?")[0]) if kind.startswith("sqlite") else None


def ensure_broker(given: Settings) -> bool:
    """Start the embedded Valkey unless the settings name another broker. True when it was not running before."""
    if not given.embedded_broker:
        return False
    from workers.embedded.valkey import ensure_valkey, is_running

    started = not is_running(given.home)
    ensure_valkey(given.home)
    return started


@contextmanager
def open_store(given: Settings) -> Iterator[Store]:
    """The store, for commands that apply evidence; the workers' sweep finds the work that follows. Raises
    SchemaTooOld."""
    from workers.bootstrap import open_store as open_wired
    from workers.store.release import require_release

    require_file(given.database_url)
    store = open_wired(given)
    try:
        store.database.read(require_release)
        yield store
    finally:
        store.close()
