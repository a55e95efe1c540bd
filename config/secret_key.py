"""The key that encrypts endpoint secrets: given by the operator, or made once under the home folder."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path

KEY_BYTES = 32
FILE_NAME = "secret.key"


def check_keys(text: str) -> tuple[str, ...]:
    """Read comma-separated keys, the newest first. Raises ValueError that says which is malformed, never the key."""
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    if not keys:
        raise ValueError("must hold at least one key: 32 bytes in URL-safe base64")
    for place, key in enumerate(keys, start=1):
        try:
            size = len(base64.b64decode(key, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size != KEY_BYTES:
            raise ValueError(f"key {place} must be 32 bytes in URL-safe base64 (comma-separated, the newest first)")
    return keys


def keep_key(home: Path) -> tuple[str, ...]:
    """The keys in ``home/secret.key``. If there is no such file it is made, with mode 0600.

    Processes may race: the key is written to a draft that is linked into place, so a late one reads the first one's
    key. Raises OSError, and ValueError for a file without a usable key.
    """
    path = home / FILE_NAME
    if not path.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    return check_keys(path.read_text(encoding="utf-8-sig", errors="replace"))


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
