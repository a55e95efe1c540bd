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
from urllib.parse import urlsplit

LOCK = "demo.lock"


@contextlib.contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty folder under ``INVOICES_HOME``/demo, locked while it is used; what killed demos left is removed."""
    parent = Path(os.environ.get("INVOICES_HOME", "").strip() or "var").expanduser().absolute() / "demo"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in parent.iterdir():
        _remove_leftover(old)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    with _locked(home):
        try:
            yield home
        except KeyboardInterrupt:  # nobody will look for what went wrong
            shutil.rmtree(home, ignore_errors=True)
            raise


def _remove_leftover(folder: Path) -> None:
    """A demo that was killed leaves its Valkey running; one that goes on holds its lock."""
    from workers.embedded.valkey import stop_valkey

    with contextlib.suppress(OSError), _locked(folder):
        stop_valkey(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises BlockingIOError while somebody else holds it."""
    with open(folder / LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def settle_in(home: Path, sandbox_url: str, providers: Iterable[str]) -> None:
    """Make this process and those it starts forget every setting but the demo's own."""
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
