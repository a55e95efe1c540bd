"""Runs the checks side by side. Each ends within seconds, whatever hangs.

To add a finding: yield it from the file of the part it is about (``database``, ``agenda``, ``broker``, …). To add a
part: a function from the settings to findings, and its line in ``_parts``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from workers.cli.doctor.finding import Finding
from workers.cli.doctor.guard import Check, guarded

if TYPE_CHECKING:
    from config.settings import Settings

#: A part that has not ended by then hangs, which is wrong; what it has found until then counts too.
DEADLINE_SECONDS = 15.0


def run_checks(deadline_seconds: float = DEADLINE_SECONDS) -> Iterator[Finding]:
    """Every finding, in the order of the parts."""
    from config.logging import register_secrets
    from config.settings import SettingsError, load_settings

    try:
        config = load_settings()
        register_secrets(config.secrets())
        keys = config.secret_keys()
    except SettingsError as error:
        yield Finding("settings", "wrong", str(error), "settings").safe()
        return
    register_secrets(key.get_secret_value() for key in keys)
    yield Finding("settings", "ok", f"home {config.home}, accounts {', '.join(sorted(config.accounts))}").safe()
    yield from check_secret_files(config)
    for finding in run_side_by_side(_parts(config), deadline_seconds):
        yield finding.safe()


def check_secret_files(config: Settings) -> Iterator[Finding]:
    """Whether other users of this machine may read the secrets. A note: in a container nobody else may be there."""
    from config.secret_files import is_open_to_others

    found = [str(path) for path in config.secret_files if is_open_to_others(path)]
    if found:
        detail = f"others on this machine may read {', '.join(found)}"
        command = f"chmod o-r {' '.join(found)}"
        yield Finding("settings", "note", detail, "open_to_others", count=len(found), command=command).safe()


def _parts(config: Settings) -> list[tuple[str, Check]]:
    from workers.cli.doctor.broker import check_broker
    from workers.cli.doctor.database import check_database
    from workers.cli.doctor.providers import check_account, check_profiles
    from workers.cli.doctor.redis_server import check_redis
    from workers.cli.doctor.shelf import check_shelf
    from workers.cli.doctor.unstored import check_unstored
    from workers.cli.doctor.workers import check_workers

    accounts = sorted(config.accounts.items())
    return [
        ("database", partial(check_database, config)),
        ("broker", partial(check_broker, config)),
        ("redis", partial(check_redis, config)),
        ("unstored", partial(check_unstored, config)),
        ("shelf", partial(check_shelf, config)),
        ("accounts", partial(check_profiles, config)),
        *((f"account {name}", partial(check_account, account)) for name, account in accounts),
        ("workers", partial(check_workers, config)),
    ]


def run_side_by_side(parts: list[tuple[str, Check]], deadline_seconds: float) -> Iterator[Finding]:
    """Each part in a thread of its own, findings in the order of the parts.

    A thread that hangs (in a name look-up, which can't be interrupted) is left behind; it does not keep the process
    from ending.
    """
    deadline = time.monotonic() + deadline_seconds
    for check, findings in [(check, _start(check, run)) for check, run in parts]:
        while True:
            try:
                finding = findings.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                yield Finding(check, "wrong", f"has not answered within {deadline_seconds:g} s: it hangs", "hangs")
                break
            if finding is None:
                break
            yield finding


def _start(check: str, run: Check) -> queue.SimpleQueue[Finding | None]:
    """The part's findings as they come; None after the last."""
    findings: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def look() -> None:
        for finding in guarded(check, run):
            findings.put(finding)
        findings.put(None)

    threading.Thread(target=look, name=f"doctor {check}", daemon=True).start()
    return findings
