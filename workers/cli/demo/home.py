"""A fresh folder for each demo, and the settings that keep it apart from everything else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from config.home import default_home
from workers.embedded.home import make_home

LOCK = "demo.lock"
TRIES = 100


@contextlib.contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty folder under ``INVOICES_HOME``/demo, locked while it is used. What killed demos left is removed first;
    at the end the folders that were made for it are removed if they are empty."""
    home = Path(os.environ.get("INVOICES_HOME", "").strip() or default_home(os.environ)).expanduser().absolute()
    was_there = home.exists()
    with contextlib.ExitStack() as held:
        folder = _take_folder(home, held)
        try:
            yield folder
        except KeyboardInterrupt:  # nothing went wrong that its files could show
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            with contextlib.suppress(OSError):  # not empty
                folder.parent.rmdir()
                if not was_there:
                    home.rmdir()


def _take_folder(home: Path, held: contextlib.ExitStack) -> Path:
    """A new folder, locked. Tried again when another demo ends and removes the folder around it, or begins and takes it
    for a leftover before it is locked."""
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError, FileExistsError, BlockingIOError):
            return _make_folder(home, held)
    return _make_folder(home, held)


def _make_folder(home: Path, held: contextlib.ExitStack) -> Path:
    parent = home / "demo"
    make_home(home)
    parent.mkdir(mode=0o700, exist_ok=True)
    for old in parent.iterdir():
        _remove_leftover(old)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    held.enter_context(_locked(folder, "wb"))
    return folder


def _remove_leftover(folder: Path) -> None:
    """Remove the folder of a demo that was killed, whose Valkey may still run. A demo that runs holds its lock."""
    from workers.embedded.valkey import stop_valkey

    with contextlib.suppress(OSError):
        try:
            with _locked(folder, "r+b"):
                stop_valkey(folder)
                shutil.rmtree(folder)
        except FileNotFoundError:  # it was killed before it made its lock, or is being removed
            folder.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, mode: Literal["wb", "r+b"]) -> Iterator[None]:
    """Raises BlockingIOError while another demo holds it, FileNotFoundError when it was removed before."""
    with open(folder / LOCK, mode) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / LOCK).stat()
        yield


def settle_in(home: Path, sandbox_url: str, providers: Iterable[str]) -> None:
    """Leave this process, and those it starts, no settings but the demo's own."""
    for name in [name for name in os.environ if name.startswith("INVOICES_")]:
        del os.environ[name]
    place = urlsplit(sandbox_url)
    os.environ |= {
        "INVOICES_HOME": str(home),
        "INVOICES_ACCOUNTS": json.dumps({name: _account(name, sandbox_url) for name in providers}),
        "INVOICES_WEBHOOK_ALLOW": f"{place.hostname}:{place.port}",
        "INVOICES_LOG_FORMAT": "json",
        "INVOICES_WEB_PORT": "0",  # another system may run here
    }


def _account(provider: str, sandbox_url: str) -> dict[str, object]:
    """Impatient, so that a lost answer is settled in seconds."""
    return {
        "provider": provider,
        "base_url": f"{sandbox_url}/{provider}",
        "api_key": f"sandbox-{provider}-key",
        "timeout_seconds": 2,
        "poll_seconds": 1,
    }
