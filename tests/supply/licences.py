"""The licence of every pinned distribution, from its own metadata, against what may be used here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from tests.supply.pins import FOLDER, read_pins

LIST = FOLDER / "LICENSES.md"
ALLOWED = {
    "AFL-2.1",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD",  # says no more than that; both forms are allowed
    "LGPL-3.0-only",  # psycopg: used as it is, replaceable by whoever installs
    "MIT",
    "MIT-0",
    "MPL-2.0",  # used as it is; its conditions are about changed files
    "PSF-2.0",
    "Public Domain",  # iso4217: a table of facts, given away by its author
}
#: Pinned for other machines than the one that looks: by name, from their own metadata.
ELSEWHERE = {"async-timeout": "Apache-2.0", "colorama": "BSD-3-Clause", "tzdata": "Apache-2.0"}
#: What people write where an SPDX expression belongs.
WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD",
    "mit license": "MIT",
    "mit style": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "python software foundation license": "PSF-2.0",
}
#: Metadata that holds the licence's whole text, or several words for a choice: read by a person.
READ = {"axe-playwright-python": "MIT", "python-dateutil": "Apache-2.0 OR BSD-3-Clause", "valkey": "MIT"}


def licence_of(name: str) -> str | None:
    """An SPDX expression (or "BSD"); None where the distribution says nothing that is understood."""
    if name in READ:
        return READ[name]
    try:
        told: Any = metadata(name)  # an e-mail message, whatever its type says
    except PackageNotFoundError:
        return ELSEWHERE.get(name)
    expression = told.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or [] if "License ::" in line]
    for words in (str(told.get("License") or ""), *classifiers):
        if is_allowed(words) or words.lower() in WORDS:
            return str(WORDS.get(words.lower(), words))
    return None


def is_allowed(expression: str) -> bool:
    """Every part of an AND, any part of an OR; brackets are not taken apart: they are refused until somebody reads."""
    return any(
        all(part.strip() in ALLOWED for part in re.split(r"\sAND\s", choice))
        for choice in re.split(r"\sOR\s", expression)
    )


def render() -> tuple[str, list[str]]:
    """The list as Markdown, and what is wrong, a sentence each."""
    run, dev = (read_pins((FOLDER / name).read_text()) for name in ("run.txt", "dev.txt"))
    lines, wrong = [], []
    for name in sorted(dev):
        licence = licence_of(name)
        if licence is None:
            wrong.append(f"{name}: its licence is not understood: read it, then say so in tests/supply/licences.py")
        elif not is_allowed(licence):
            wrong.append(f"{name}: {licence} is not among the licences that may be used here")
        lines.append(f"| {name} | {licence} | {'running' if name in run else 'tests and checks'} |\n")
    head = "# Licences\n\nMade by `make licences` from what each pinned distribution says of itself.\n\n"
    return head + "| distribution | licence | used for |\n|---|---|---|\n" + "".join(lines), wrong


def faults() -> Iterator[str]:
    """Licences that may not be used, and a list that is not up to date."""
    text, wrong = render()
    yield from wrong
    if not LIST.is_file() or LIST.read_text() != text:
        yield f"{LIST.name} is not up to date: run `make licences`"
