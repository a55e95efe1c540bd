"""How long pages of the console take among many invoices, by the application itself: no socket, no browser."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.bench.ground import Ground, timed
from tests.bench.results import Row
from tests.bench.why_rows import with_history
from tests.console.ground import Ground as ConsoleGround
from workers.web.console.cache import PATIENCE_SECONDS

MOST_MS, MOST_BYTES = 150.0, 100_000
STALE_SECONDS = 6.0  #: after that the overview's figures are read anew
#: By key: what it is called, and its address.
PAGES = {
    "console-list": ("the list's first page", "/console/invoices"),
    "console-filter": ("the list, by status and age", "/console/invoices?status=in_doubt&since=30d"),
    "console-kept": ("the overview, its figures at most 5 s old", "/console/"),
    "console-audit": ("the audit log", "/console/audit"),
}


def all_rows(ground: Ground) -> list[Row]:
    """Each page, and the overview while its figures are read, on the same database."""
    many, rounds = ground.sizes.open_many, ground.sizes.rounds
    found: list[Row] = []
    with ground.store(with_history(many)) as store:
        scene: Any = SimpleNamespace(database=store.database, store=store)
        anew = _row("console-anew", "the overview, its figures read anew beside it", many)
        anew.run(rounds, lambda: _ask_ms(scene, "/console/", rest_seconds=STALE_SECONDS))
        first = _row("console-first", "the overview, by who comes first after a start", many)
        first.run(rounds, lambda: _ask_ms(scene, "/console/", is_first=True))
        for key, (name, address) in PAGES.items():
            row = _row(key, name, many)
            row.run(rounds, functools.partial(_ask_ms, scene, address))
            found.append(row)
    return [*found, anew, first]


def _row(key: str, name: str, many: int) -> Row:
    return Row(key, f"the console: {name}, among {many:,} open", "", "ms", MOST_MS, better="less", judged="ours")


def _ask_ms(scene: Any, address: str, rest_seconds: float = 0, is_first: bool = False) -> float:
    """A page that was asked for before, so many seconds ago, or never. Raises RuntimeError for one that is too large
    or none."""
    console = ConsoleGround(scene, patience_seconds=PATIENCE_SECONDS)
    try:
        if not is_first:
            console.get(address)
            time.sleep(rest_seconds)
        answers: list[Any] = []
        seconds = timed(lambda: answers.append(console.get(address)))
    finally:
        console.close()
    (answer,) = answers
    if answer.status_code != 200 or len(answer.content) > MOST_BYTES:
        raise RuntimeError(f"{address}: {answer.status_code}, {len(answer.content)} bytes")
    return 1000 * seconds


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"console": functools.partial(all_rows, ground)}
