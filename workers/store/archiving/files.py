"""The archive's files: one or more a day, each written under another name, synced and renamed. A file that has its name
is finished, never changed, and has its SHA-256 beside it, as ``sha256sum -c`` reads it."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

_NAME = re.compile(r"invoices-(\d{4}-\d\d-\d\d)(?:\.(\d+))?\.jsonl\.gz")
_DRAFT = ".draft"
_LEVEL = 6  #: 9 takes three times as long and saves a hundredth
CHUNK = 1 << 20


class ArchiveRefused(Exception):  # noqa: N818 - reads as what happened
    """The archive can't be written or trusted. One line; nothing was removed that it does not hold."""


class Folder:
    """Where the files are. ``with folder.alone():`` around whatever writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder, keep other runs out, and remove what killed ones left behind. Raises ArchiveRefused."""
        with self._open_lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveRefused(f"{self.path}: another run is writing there") from None
            for draft in self.path.glob(f"*{_DRAFT}"):
                draft.unlink()
            yield

    def _open_lock(self) -> IO[str]:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return (self.path / ".lock").open("w")
        except OSError as error:
            place = error.filename or self.path
            raise ArchiveRefused(f"INVOICES_ARCHIVE_DIR can't be written: {place}: {error.strerror}") from error

    def finished(self, day: datetime | None = None) -> list[Path]:
        """The files, of one day or all, oldest first."""
        if not self.path.is_dir():
            return []
        found = [(named[1], int(named[2] or 1), path) for path in self.path.iterdir() if (named := _match(path))]
        return [path for name, _, path in sorted(found) if day is None or name == f"{day:%Y-%m-%d}"]

    def new(self, day: datetime) -> Path:
        """The name that the day's next file will have."""
        numbers = [int(named[2] or 1) for path in self.finished(day) if (named := _match(path))]
        part = f".{max(numbers) + 1}" if numbers else ""
        return self.path / f"invoices-{day:%Y-%m-%d}{part}.jsonl.gz"


def _match(path: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(path.name)


class Draft:
    """A file that is being written. Nobody takes it for finished before ``finish``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._draft = path.with_name(path.name + _DRAFT)
        self._digest = hashlib.sha256()
        self._raw = open(self._draft, "wb", opener=_private)  # noqa: SIM115 - closed by close
        self._gzip = gzip.GzipFile("", "wb", _LEVEL, _Hashing(self._raw, self._digest), mtime=0)

    def write(self, line: bytes) -> None:
        """One more."""
        self._gzip.write(line)
        self.lines += 1

    def finish(self) -> None:
        """Everything is on the disk before the file has its name, its sum's file too."""
        self._gzip.close()
        _sync(self._raw)
        summed = _sum_of(self.path)
        draft = summed.with_name(summed.name + _DRAFT)
        with open(draft, "wb", opener=_private) as file:
            file.write(f"{self._digest.hexdigest()}  {self.path.name}\n".encode())
            _sync(file)
        draft.replace(summed)
        sync_folder(self.path.parent)
        self._draft.replace(self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Harmless if it is finished; otherwise what was written is removed."""
        self._raw.close()
        self._draft.unlink(missing_ok=True)


class _Hashing:
    """What gzip writes, on its way to the file."""

    def __init__(self, file: IO[bytes], digest: hashlib._Hash) -> None:
        self._file, self._digest = file, digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def check(path: Path) -> None:
    """Raise ArchiveRefused unless the file is, byte for byte, the one that was finished."""
    digest = hashlib.sha256()
    try:
        told = _sum_of(path).read_text().split()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except (OSError, UnicodeDecodeError) as error:
        raise ArchiveRefused(f"{path}: can't be checked: {error}") from None
    if told[:1] != [digest.hexdigest()]:
        raise ArchiveRefused(f"{path}: is not what was written, by its .sha256: nothing is removed on its word")


def lines(path: Path) -> Iterator[bytes]:
    """Each line, with its end. Raises ArchiveRefused for a file that can't be read."""
    try:
        with gzip.open(path) as file:
            yield from file
    except (OSError, EOFError) as error:
        raise ArchiveRefused(f"{path}: can't be read: {error}") from None


def sync_folder(path: Path) -> None:
    """A new name is on the disk only after this."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
