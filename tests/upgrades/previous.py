"""The release before this one, as a tree of its own taken from Git: its processes run in today's environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.acceptance.awaited import Running
from tests.acceptance.system import ROOT, Spawn, spawn

MIGRATIONS = "deploy/migrations/versions"
#: In the environment: another commit or tag than the one that is found.
ASKED = "INVOICES_TEST_PREVIOUS"


class NoPreviousError(Exception):
    """There is none here. The sentence says why."""


def commit() -> str:
    """The newest release's tag before this commit; without tags the last commit that lacked today's newest migration,
    and could migrate at all: two that were made side by side have the same number until one is renamed.

    Raises NoPreviousError where there is no history: in a wheel, or a shallow clone.
    """
    if asked := os.environ.get(ASKED):
        return asked
    with contextlib.suppress(NoPreviousError):
        return _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD~1")
    newest = max(path.name for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    added = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", f"{MIGRATIONS}/{newest}")
    if not added:
        raise NoPreviousError("this clone's history does not go back to the release before this one")
    return next(one for one in _git("rev-list", f"{added}~1").splitlines() if _can_migrate(one))


def _can_migrate(name: str) -> bool:
    paths = _git("ls-tree", "--name-only", name, f"{MIGRATIONS}/").splitlines()
    numbers = [Path(path).name[:4] for path in paths if Path(path).name[0].isdigit()]
    return len(numbers) == len(set(numbers))


@contextlib.contextmanager
def tree(name: str) -> Iterator[Path]:
    """All files of a commit, removed with the block."""
    with tempfile.TemporaryDirectory(prefix="invoices-before-") as folder:
        packed = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=False)
        if packed.returncode != 0:
            raise NoPreviousError(packed.stderr.decode().strip())
        subprocess.run(["tar", "-x"], cwd=folder, input=packed.stdout, check=True)
        yield Path(folder)


def spawn_from(folder: Path) -> Spawn:
    """Starts processes whose code is that tree's."""

    def start(name: str, argv: list[str], environment: Mapping[str, str], log: Path) -> Running:
        return spawn(name, argv, {**environment, **settings(folder)}, log, folder)

    return start


def settings(folder: Path) -> dict[str, str]:
    """With these a process's modules are that tree's, not those that are installed or lie where it is started."""
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoPreviousError("there is no git") from None
    if done.returncode != 0:
        raise NoPreviousError(done.stderr.strip())
    return done.stdout.strip()
