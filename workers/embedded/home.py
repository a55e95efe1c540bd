"""The folder of the embedded defaults: created private, and made private when it holds only our files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: How the names of our files in a home begin.
OURS = ("invoices.db", "secret.key", ".secret.key", "valkey", "demo", "sandbox", "prometheus", "up.")


def make_home(home: Path) -> None:
    """Create it with mode 0700. One that others may enter is made private if it is ours and holds only our files; the
    doctor reports one that holds other files too. Raises OSError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_open_to_others(home) and _holds_only_ours(home):
        home.chmod(0o700)


def is_open_to_others(home: Path) -> bool:
    """Whether other users may enter or list it."""
    return bool(home.stat().st_mode & 0o077)


def _holds_only_ours(home: Path) -> bool:
    found = home.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return False
    return all(entry.name.startswith(OURS) for entry in home.iterdir())
