"""`make roles`: tests that start processes, with a login for each kind of process that may do what its role may.

All of them run on a PostgreSQL of their own, also those that name no database and are otherwise on SQLite. What a
process was refused fails the test, though it tried again or went on without.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.engines import run_postgres
from tests.least_privilege import ASKED, ROOT, SERVER

#: Files that start processes, or folders of them.
ALL = (
    "tests/acceptance",
    "tests/upgrades/test_handover.py",
    "tests/upgrades/test_live.py",
    *(
        f"tests/contracts/test_{name}.py"
        for name in ("api_fuzzed", "api_process", "behind_proxies", "callback_samples")
    ),
    *(f"tests/contracts/test_{name}.py" for name in ("console_process", "log_process", "oidc_provider", "web_process")),
)
#: What is about the embedded database, or starts one process only, on SQLite.
WITHOUT = tuple(f"tests/acceptance/test_{name}.py" for name in ("demo", "intake", "senders_rights", "unstored", "up"))
#: Four at a time, each with as many sessions as its processes want.
CONNECTIONS = {"max_connections": "600"}


def main(arguments: Sequence[str]) -> int:
    """Options of pytest's, and files instead of all; pytest's code."""
    names_some = any((ROOT / one.partition("::")[0]).exists() for one in arguments)
    chosen = (*(f"--ignore={path}" for path in WITHOUT), *ALL)
    with run_postgres(CONNECTIONS) as url:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "engines or not engines", "--dist", "loadfile"]
        environment = os.environ | {ASKED: "1", SERVER: url}
        ran = subprocess.run(
            [*command, *arguments, *(() if names_some else chosen)], cwd=ROOT, env=environment, check=False
        )
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
