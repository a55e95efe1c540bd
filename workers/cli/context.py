"""What commands work with: the settings, and the database as they name it."""

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
    """The settings of this process. Raises SettingsError; ``need_keys``: also where a provider's key can't be read.

    From here on what the code logs goes to stderr, and only what somebody should look at: stdout is the command's.
    """
    from config.settings import load_settings

    given = load_settings(need_keys=need_keys)
    _configure(given)
    return given


def settings_to_read() -> Settings:
    """The same for commands that only read: what logs is not even imported until there is something to be logged.

    Nothing that they import may be a module that has a logger of structlog's; a test holds them to it.
    """
    from config.settings import load_settings

    given = load_settings(need_keys=False)
    logging.root.handlers[:] = [_FirstRecord(given)]
    return given


class _FirstRecord(logging.Handler):
    """Configures the logs with the first record of the standard library's, and hands it on."""

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
    """The database that the settings name; one that was never made is an error, not made on the way.

    ``of_any_release``: for those who tell by themselves what is the matter with it. Raises SchemaTooOld.
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
    """Start the embedded Valkey where the settings name no other broker; True when it did not run before."""
    if not given.embedded_broker:
        return False
    from workers.embedded.valkey import ensure_valkey, is_running

    started = not is_running(given.home)
    ensure_valkey(given.home)
    return started


@contextmanager
def open_store(given: Settings) -> Iterator[Store]:
    """The store, for commands that judge evidence; what it leaves to do is found by the workers' sweep. Raises
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
