"""A sample of forged callbacks for people to look at. Each costs the request only an append.

The newest few wait in memory and are written once a second by a thread of their own; the others are only counted. What
waits when the process dies, or while the database is away, is lost: nothing depends on it.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog
from starlette.requests import Request

from workers.store.database import UNAVAILABLE
from workers.store.forged import Forged

log = structlog.get_logger()

WRITE_SECONDS = 1.0
#: Between two writes, of each account, and of all that name no account: a flood of one hides no other's.
MOST_WAITING = 5
BODY_BYTES = 2048
#: Headers whose values are kept. Of the others only the names: any of them may hold a secret.
SHOWN_HEADERS = ("content-type", "user-agent")
MAX_HEADER, MAX_NAME, MAX_NAMES, MAX_WHY = 300, 64, 30, 200


class ForgedSample:
    """Takes forged callbacks on the loop, and writes some of them from a thread."""

    def __init__(self, write: Callable[[Sequence[Forged]], object]) -> None:
        self._write = write
        self._waiting: dict[str | None, deque[_Waiting]] = {}  #: by account: the configured ones, and None
        self._lock = threading.Lock()
        self._some = threading.Event()

    def note(self, request: Request, account: str | None, body: bytes) -> None:
        """Keep it for the next write, in place of the oldest. ``account`` None: its path names no account."""
        one = _Waiting(account, request, len(body), body[:BODY_BYTES])
        with self._lock:
            self._waiting.setdefault(account, deque(maxlen=MOST_WAITING)).append(one)
        self._some.set()

    def run(self, stopping: threading.Event) -> None:
        """Write what waits, once a second at most, until the process stops."""
        while not stopping.is_set():
            self._some.wait()
            stopping.wait(WRITE_SECONDS)
            self.write_waiting()

    def wake(self) -> None:
        """Have ``run`` look whether it is to stop."""
        self._some.set()

    def write_waiting(self) -> None:
        """One transaction for all that waits."""
        self._some.clear()
        with self._lock:
            batch = [_read(one) for waiting in self._waiting.values() for one in waiting]
            self._waiting.clear()
        if not batch:
            return
        try:
            self._write(batch)
        except UNAVAILABLE as error:
            log.warning("callback.forged_not_kept", callbacks=len(batch), error=type(error).__name__)
        except Exception:
            log.exception("callback.bug", traceback=True)


class _Waiting(NamedTuple):
    account: str | None
    request: Request
    size: int
    body: bytes  #: its beginning


def _read(one: _Waiting) -> Forged:
    named = str(one.request.path_params["account"])
    why = "its signature is wrong, or there is none" if one.account else f"there is no account {named!r}"[:MAX_WHY]
    client = one.request.client.host if one.request.client else None
    return Forged(one.account, why, client, one.size, one.body, _shown(one.request.headers))


def _shown(headers: Mapping[str, str]) -> str:
    """Values of the harmless headers, and names of all: whether there was a signature at all is worth knowing."""
    shown: dict[str, object] = {name: headers[name][:MAX_HEADER] for name in SHOWN_HEADERS if name in headers}
    names = sorted({name[:MAX_NAME] for name in headers})[:MAX_NAMES]
    return json.dumps(shown | {"names": names})
