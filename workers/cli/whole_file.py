"""A file that a command writes: whole or not at all, and readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from workers.cli.errors import CommandFailed


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to become the file ``path``, and has another name meanwhile."""

    file: IO[bytes]
    path: Path
    _beside: Path

    def keep(self) -> None:
        """On the disk, then under its name, instead of what has it now."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._beside.replace(self.path)


@contextmanager
def draft(path: Path, otherwise: str) -> Iterator[Draft]:
    """The draft of a file; gone in the end unless it was kept. ``otherwise``: how to have it on standard output.

    Raises CommandFailed if ``path`` can't be such a file."""
    if path.exists() and not path.is_file():  # to root a device, too, would be replaced
        raise CommandFailed(f"--output: {path} is no file: name one, or {otherwise} for standard output", 2)
    if not path.parent.is_dir():
        raise CommandFailed(f"--output: there is no folder {path.parent}", 2)
    path = Path(os.path.realpath(path))  # what a link such as /dev/stdout means, never the link
    number, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)  # with mode 0600
    try:
        with open(number, "w+b") as file:
            yield Draft(file, path, Path(name))
    finally:
        Path(name).unlink(missing_ok=True)
