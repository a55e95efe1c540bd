"""Only the owner may read an embedded database's files, whoever makes them first and whatever the umask is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Beside a SQLite file; SQLite gives them the file's own mode when it makes them.
COMPANIONS = ("", "-wal", "-shm", "-journal")


def make_private(path: Path) -> None:
    """Make the file with mode 0600 where there is none; take away others' rights where it and its companions are ours.

    What can't be made or changed is left to whoever opens it next, and to the doctor.
    """
    with suppress(OSError):
        # O_EXCL: a file that is there must never be opened here. Closing it would drop every lock that SQLite's own
        # connections of this process hold on it (POSIX locks belong to the process, not to the descriptor).
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for companion in COMPANIONS:
        with suppress(OSError):
            _tighten(Path(f"{path}{companion}"))


def open_to_others(path: Path) -> list[Path]:
    """Those of a SQLite file and its companions that somebody else may read or write."""
    found = (Path(f"{path}{companion}") for companion in COMPANIONS)
    return [each for each in found if each.exists() and each.stat().st_mode & 0o077]


def _tighten(path: Path) -> None:
    if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o077:
        path.chmod(0o600)
