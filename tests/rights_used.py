"""`make rights`: which rights the processes really used, and which of `workers/store/grants.py` none of them did.

Runs acceptance stories with a login for each kind of process. PostgreSQL itself says what each statement asks for: with
``debug_print_parse`` it logs the tables, the kind of access and the columns that it is about to check. A right that is
missing makes a story fail; one that no story needed is told, and is an error unless UNSEEN says why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tests.engines import run_postgres
from tests.least_privilege import CATALOGUE, MEMBERS, ROOT
from workers.store.grants import INTAKE, READ, ROLES, WEB, WORKER, Right, rights

SETTINGS = {"log_line_prefix": "%u@%d "}
#: What is run, some of it on both brokers.
STORIES = tuple(f"tests/acceptance/test_{name}.py" for name in ("callbacks", "least_privilege", "rare_ways"))

_JUDGED = "the judge's transaction, one for all evidence"
_HELD = "an answer whose commit a stranger's lock holds up (tests/contracts/test_held_locks.py)"
_LINK = "`console-link`, on a database that is not the embedded one"
#: Rights that no story needs, and what does.
UNSEEN: Mapping[tuple[str, str, str], str] = {
    (INTAKE, "SELECT", "evidence"): _JUDGED,
    (INTAKE, "UPDATE", "evidence"): _JUDGED,
    (INTAKE, "SELECT", "payment"): _JUDGED,
    (INTAKE, "INSERT", "payment"): _JUDGED,
    (INTAKE, "UPDATE", "payment"): _JUDGED,
    (INTAKE, "SELECT", "clock"): "the database's clock was set",
    (INTAKE, "UPDATE", "callback"): "a cancelled invoice that nobody could ask about gives its callbacks back",
    (WORKER, "INSERT", "kept_answer"): _HELD,
    (WORKER, "UPDATE", "kept_answer"): _HELD,
    (WEB, "UPDATE", "evidence"): _JUDGED,
    (WEB, "UPDATE", "payment"): _JUDGED,
    (WEB, "UPDATE", "replay_job"): "a replay that takes longer than a lease",
    (WEB, "INSERT", "bulk_failure"): "a job that could do nothing with an invoice",
    (WEB, "DELETE", "forged_callback"): "more forged callbacks than are kept",
    **{(WEB, privilege, "console_link"): _LINK for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")},
}

_PRIVILEGES = {1: "INSERT", 2: "SELECT", 4: "UPDATE", 8: "DELETE"}
_COLUMNS = {"SELECT": "selectedCols", "INSERT": "insertedCols", "UPDATE": "updatedCols"}
_FIRST = 7  #: what PostgreSQL adds to a column's number
_CHECKED = re.compile(r"\{RTEPERMISSIONINFO (.*?)\}")
_ENTRY = re.compile(r"^(\w+)@(\w*) DETAIL:  (\{QUERY .*)$", re.MULTILINE)


def used(log: str, catalogue: Iterable[Mapping[str, Any]]) -> Iterator[Right]:
    """What the log tells of the logins of ``catalogue``. ``column`` None: a row was locked, removed or counted."""
    known = {login: (role, entry["tables"]) for entry in catalogue for login, role in entry["logins"].items()}
    for login, _, tree in _ENTRY.findall(log.replace("\n\t", " ")):
        if login not in known:
            continue
        role, tables = known[login]
        for fields in _CHECKED.findall(tree):
            yield from _rights_in(role, _read(fields), tables)


def _rights_in(role: str, checked: Mapping[str, str], tables: Mapping[str, Any]) -> Iterator[Right]:
    if checked["relid"] not in tables:
        return
    name, columns = tables[checked["relid"]]
    for bit, privilege in _PRIVILEGES.items():
        if int(checked["requiredPerms"]) & bit:
            numbers = [int(one) - _FIRST for one in re.findall(r"\d+", checked.get(_COLUMNS.get(privilege, ""), ""))]
            named = [columns[str(number)] for number in numbers if str(number) in columns]
            yield from (Right(role, privilege, name, column) for column in named or [None])


def _read(fields: str) -> dict[str, str]:
    return dict(re.findall(r":(\w+) (\([^)]*\)|\S+)", fields))


def unused(granted: Iterable[Right], seen: set[Right]) -> list[Right]:
    """What was granted and not needed. A column's right to be updated is also needed to lock a row."""
    columns = defaultdict(set)
    for right in seen:
        columns[right[:3]].add(right.column)
    return [
        right
        for right in granted
        if right.privilege != "USAGE"
        and not (columns[right[:3]] if right.column is None else columns[right[:3]] & {right.column, None})
    ]


def main() -> int:
    """Run the stories, then compare."""
    parser = argparse.ArgumentParser(prog="make rights", description=__doc__)
    parser.add_argument("stories", nargs="*", default=STORIES, help="files or tests, for pytest")
    parser.add_argument("--kept", type=Path, help="add what was seen to this file, and count what it has")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="invoices-") as folder, run_postgres(SETTINGS) as url:
        catalogue = Path(folder) / "catalogue"
        catalogue.touch()
        code = _run(options.stories, url, catalogue)
        entries = [json.loads(line) for line in catalogue.read_text().splitlines()]
        log = Path(str(make_url(url).query["host"])) / "log"
        seen = set(used(log.read_text(errors="replace"), entries))
    seen = _with_kept(options.kept, seen)
    return code or _tell(seen)


def _run(stories: Sequence[str], url: str, catalogue: Path) -> int:
    ours = {"INVOICES_TEST_ROLES": "1", "INVOICES_TEST_POSTGRES_URL": url, CATALOGUE: str(catalogue)}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "engines or not engines", "-n", "2", "--dist", "loadfile"]
    return subprocess.run([*command, *stories], cwd=ROOT, env=os.environ | ours, check=False).returncode


def _with_kept(kept: Path | None, seen: set[Right]) -> set[Right]:
    if kept is None:
        return seen
    if kept.exists():
        seen |= {Right(*json.loads(line)) for line in kept.read_text().splitlines()}
    kept.write_text("".join(f"{json.dumps(one)}\n" for one in sorted(seen, key=str)))
    return seen


def _tell(seen: set[Right]) -> int:
    granted = [right for role in ROLES if role != READ for right in rights(role)]
    left = unused(granted, seen)
    for right in left:
        why = UNSEEN.get(right[:3])
        print(f"{'not seen: ' + why if why else 'NOT NEEDED'}: {' '.join(part or '' for part in right)}")
    needless = [right for right in left if right[:3] not in UNSEEN]
    print(f"{len(granted)} rights, {len(left)} not seen, of them without a reason: {len(needless)}")
    return 1 if needless else 0


if __name__ == "__main__":
    assert set(MEMBERS.values()) >= set(ROLES)
    sys.exit(main())
