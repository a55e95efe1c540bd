"""Secrets that stand in files: ``INVOICES_X_FILE=/run/secrets/x``, and ``file:/path`` in an account."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

#: systemd names the folder of a unit's credentials here (``LoadCredential=``); it differs from unit to unit.
CREDENTIALS = "CREDENTIALS_DIRECTORY"
CREDENTIALS_PREFIX = f"${CREDENTIALS}/"
_IN_BRACES = f"${{{CREDENTIALS}}}/"  #: as shells and systemd know it too
MAX_KEY_BYTES = 4096
MAX_SETTING_BYTES = 1_000_000  #: accounts are a setting too


def find_file(place: str, environ: Mapping[str, str]) -> Path:
    """The file of ``/path`` or ``$CREDENTIALS_DIRECTORY/name``.

    Raises ValueError, which does not quote what is no path: it may be the secret itself.
    """
    if place.startswith(_IN_BRACES):
        place = CREDENTIALS_PREFIX + place.removeprefix(_IN_BRACES)
    if place.startswith(CREDENTIALS_PREFIX):
        if not environ.get(CREDENTIALS):
            raise ValueError(f"{CREDENTIALS} is not set: systemd sets it for units that have LoadCredential=")
        place = f"{environ[CREDENTIALS]}/{place.removeprefix(CREDENTIALS_PREFIX)}"
    if not place.startswith("/"):
        raise ValueError("must be an absolute path, such as /run/secrets/name")
    return Path(place)


def read_secret(path: Path, most_bytes: int) -> str:
    """The text in it, without white space around it. Raises ValueError that says why not, and quotes none of it."""
    try:
        content = read_regular(path, most_bytes)
    except (OSError, ValueError) as error:  # a ValueError: a NUL in the path
        why = (error.strerror if isinstance(error, OSError) else None) or "is no path"
        raise ValueError(f"can't read {path}: {why}") from None
    if len(content) > most_bytes:
        raise ValueError(f"{path} holds more than {most_bytes:,} bytes")
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def read_regular(path: Path, most_bytes: int) -> bytes:
    """What is in it, up to one byte more than ``most_bytes``. Raises OSError, and ValueError for a NUL in the path."""
    # A pipe could be read once only, and every process reads its settings; opening one without O_NONBLOCK may hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is no regular file")
        return file.read(most_bytes + 1)


def is_open_to_others(path: Path) -> bool:
    """Whether other users of this machine may read it: its mode lets them, and so does every folder on its way. Not so
    a container's secret, which is a file mounted alone: who may read it is up to the folder that it comes from."""
    try:
        return (
            bool(path.stat().st_mode & stat.S_IROTH)
            and not os.path.ismount(path)
            and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
        )
    except OSError:  # a folder that even we can't look into
        return False
