"""`make roles`: tests that start processes, with a login for each kind of process that may do what its role may.

All of them run on a PostgreSQL of their own, also those that name no database and are otherwise on SQLite. What a
process was refused fails the test, though it tried again or went on without. Of tests that differ only in the database
or the broker one runs: the rights are the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.engines import run_postgres
from tests.least_privilege import ASKED, ROOT, SERVER

#: Files that start processes on PostgreSQL, or folders of them.
ALL = (
    "tests/acceptance",
    "tests/upgrades/test_handover.py",
    "tests/upgrades/test_live.py",
    *(f"tests/contracts/test_{name}.py" for name in ("api_fuzzed", "api_process", "console_process", "log_process")),
)
#: What is about the embedded database.
WITHOUT = tuple(f"tests/acceptance/test_{name}.py" for name in ("demo", "intake", "senders_rights", "unstored", "up"))
#: A test's variants for databases and brokers: of these the first runs, and on SQLite there are no rights.
VARIANTS = ("", "postgresql", "embedded", "redis", "redis-users", "valkey-users", "tls", "sentinel", "rabbitmq")
ON_SQLITE = "sqlite"
#: Four at a time, each with as many sessions as its processes want.
CONNECTIONS = {"max_connections": "600"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out variants of tests; this module is a plugin of the run that it starts."""
    there: dict[tuple[str, str], set[str]] = {}
    split = {item: _split(item.nodeid) for item in items}
    for test, others, variant in split.values():
        there.setdefault((test, others), set()).add(variant)
    first = {key: min(variants - {ON_SQLITE}, key=VARIANTS.index, default=None) for key, variants in there.items()}
    kept = {item for item, (test, others, variant) in split.items() if variant == first[test, others]}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def _split(nodeid: str) -> tuple[str, str, str]:
    """(test, its other parameters, the name of its database or broker or nothing)."""
    test, _, parameters = nodeid.removesuffix("]").partition("[")
    for name in sorted((ON_SQLITE, *VARIANTS), key=len, reverse=True):
        if parameters == name or (name and parameters.startswith(f"{name}-")):
            return test, parameters.removeprefix(name), name
    return test, parameters, ""


def main(arguments: Sequence[str]) -> int:
    """Options of pytest's, and files instead of all; pytest's code."""
    names_some = any((ROOT / one.partition("::")[0]).exists() for one in arguments)
    chosen = () if names_some else (*(f"--ignore={path}" for path in WITHOUT), *ALL)
    options = ("-q", "-p", "tests.under_roles", "-m", "engines or not engines", "--dist", "loadfile")
    with run_postgres(CONNECTIONS) as url:
        command = [sys.executable, "-m", "pytest", *options, *arguments, *chosen]
        ran = subprocess.run(command, cwd=ROOT, env=os.environ | {ASKED: "1", SERVER: url}, check=False)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
