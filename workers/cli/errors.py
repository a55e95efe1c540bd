"""Errors of commands, each as one line that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from config.home import ANOTHER_HOME

#: Errors whose message is already one line for an operator. By name, so that nothing has to be imported.
_OURS = {
    "EmbeddedError",
    "EpochsUsedUp",
    "KeyMissing",
    "MigrationRefused",
    "MigrationsMissing",
    "SchemaTooOld",
    "SecretUnreadable",
    "SettingsError",
}


#: What a home that can't be made or written is told by.
_UNFIT = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT}


class CommandFailed(Exception):  # noqa: N818 - reads as what happened
    """The command can't do what was asked. The message is one line: what is wrong, and what to do."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code


def missing_endpoint(endpoint_id: str) -> CommandFailed:
    """For an endpoint id that does not exist."""
    return CommandFailed(f"there is no endpoint {endpoint_id!r} (see: invoices endpoints list)")


def explain(error: BaseException) -> str:
    """One line for an error that was not handled where it happened."""
    module = type(error).__module__.partition(".")[0]
    if type(error).__name__ in _OURS:
        line = _one_line(str(error))
        return f"{line}: {ANOTHER_HOME}" if _is_of_home(error.__cause__) else line
    if module in {"sqlalchemy", "psycopg", "sqlite3"}:
        return explain_database(error)
    if module in {"kombu", "redis", "amqp"}:
        return f"the broker can't be reached: {_one_line(str(error))} (is it running? see: invoices doctor)"
    if isinstance(error, UnicodeEncodeError):
        return "an argument is not UTF-8 text"
    if isinstance(error, OSError) and error.strerror:
        return explain_file(error) if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {_one_line(str(error))} (--debug shows where)"


def explain_file(error: OSError) -> str:
    """One line for an error of a file or folder; of the home, how another one is named."""
    line = f"{error.filename}: {error.strerror}"
    return f"{line}: {ANOTHER_HOME}" if _is_of_home(error) else line


def _is_of_home(error: BaseException | None) -> bool:
    """Whether the home, what leads to it or what is in it, can't be made or used."""
    from config.settings import SettingsError, load_settings

    if not isinstance(error, OSError) or error.errno not in _UNFIT or not error.filename:
        return False
    try:
        home = load_settings(need_keys=False).home
    except SettingsError:
        return False
    path = Path(str(error.filename)).absolute()
    return path.is_relative_to(home) or home.is_relative_to(path)


def explain_database(error: BaseException) -> str:
    """One line for an error of the database: it is away, never migrated, or something else."""
    text = str(getattr(error, "orig", None) or error)
    if type(getattr(error, "orig", error)).__name__ == "UnfitDatabase":
        return _one_line(text)
    if "no such table" in text or "UndefinedTable" in type(getattr(error, "orig", error)).__name__:
        return "the database is not migrated: run `invoices migrate`"
    if "no such column" in text or "UndefinedColumn" in type(getattr(error, "orig", error)).__name__:
        return "the database is of another release: run `invoices migrate`"
    if "LockNotAvailable" in type(getattr(error, "orig", error)).__name__:
        return "another session has locked what this is to change: end its transaction, then run this again"
    if "ReadOnlySqlTransaction" in type(getattr(error, "orig", error)).__name__:
        return f"the database takes no writes: {_one_line(text)} (see: invoices doctor)"
    if "unable to open database file" in text:
        return (
            "the database does not exist yet: run `invoices migrate` (INVOICES_HOME or INVOICES_DATABASE_URL say where)"
        )
    if type(error).__name__ in {"OperationalError", "InterfaceError", "TimeoutError", "DisconnectionError"}:
        return f"the database can't be used: {_one_line(text)} (see: invoices doctor)"
    return f"the database refused: {_one_line(text)} (--debug shows where)"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300] or os.strerror(0)
