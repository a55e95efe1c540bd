"""The commands of `deploy/runbooks`, as they stand there: what is pasted is what is tested."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "runbooks"
TIMEOUT_SECONDS = 300


def block(page: str, name: str) -> str:
    """The commands under the mark of this name."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\n(.*?)\n```", (FOLDER / f"{page}.md").read_text(), re.DOTALL)
    assert found is not None, f"{page}.md has no commands that are marked {name!r}"
    return found[1]


def paste(page: str, name: str, environment: Mapping[str, str], **options: Any) -> str:
    """Run them in a shell, which ends at the first that fails; what they printed. ``options``: of `subprocess.run`."""
    ran: subprocess.CompletedProcess[str] = subprocess.run(
        ["sh", "-euc", block(page, name)],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        **options,
    )
    assert ran.returncode == 0, f"{page}.md, {name}:\n{ran.stdout}"
    return ran.stdout
