"""Reads a Procfile: which processes to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers.embedded.errors import EmbeddedError

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to keep running: its name in the log, its command line, and additions to our environment."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def read_procfile(path: Path) -> list[ProcessSpec]:
    """The processes of a Procfile (`name: command` a line, `#` comments), in its order. Commands are split like a
    shell does, but no shell runs them: no variables, pipes or redirections.

    Raises:
        EmbeddedError: the file or a line of it can't be used; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmbeddedError(
            f"can't read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        ) from error
    processes: dict[str, ProcessSpec] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            process = _read_line(line)
        except ValueError as error:
            raise EmbeddedError(f"{path}, line {number}: {error}") from error
        if process.name in processes:
            raise EmbeddedError(f"{path}, line {number}: there are two processes named {process.name}")
        processes[process.name] = process
    if not processes:
        raise EmbeddedError(f"{path} names no process: expected lines of the form `name: command`")
    return list(processes.values())


def _read_line(line: str) -> ProcessSpec:
    name, colon, command = line.partition(":")
    name = name.strip()
    if not colon or not _NAME.fullmatch(name):
        raise ValueError("expected `name: command`, the name made of letters, digits, - and _")
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"the command of {name} can't be split into words: {error}") from error
    if not argv:
        raise ValueError(f"{name} has no command")
    return ProcessSpec(name, argv)
