"""A worker's report of its recent work and of the accounts that rest. It is stored where the worker writes when it was
last seen. `invoices_workers_wanted` and the verdict on the whole read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.decision import Stage
from domain.exact_json import JsonError, read_json, write_json

#: A stage and its pool.
Part = tuple[Stage, str]

WEBHOOKS = "webhooks"
ROWS = "rows"  #: the pool of stages that make no calls: they use a core, but no slots


@dataclass(frozen=True, slots=True)
class Worked:
    """The work of one stage and pool: ``rows_per_second`` in the last ten seconds, ``call_seconds`` (a row's mean share
    of a slot) in the last minute."""

    rows_per_second: float
    call_seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker did in its last ``seconds``, a minute at most. ``rests``: the accounts that it does not call
    because their provider has said 429, whatever the call, each with the seconds that are left."""

    seconds: float
    core_seconds: float
    results: int
    commits: int
    commit_seconds: float  #: all of them together
    work: Mapping[Part, Worked] = field(default_factory=dict)
    rests: Mapping[str, float] = field(default_factory=dict)


def write_report(report: Report) -> str:
    """The report as JSON text, with rounded numbers."""
    work = {
        f"{stage}/{pool}": [_short(one.rows_per_second), _short(one.call_seconds)]
        for (stage, pool), one in report.work.items()
    }
    return write_json(
        {
            "seconds": _short(report.seconds),
            "core_seconds": _short(report.core_seconds),
            "results": report.results,
            "commits": report.commits,
            "commit_seconds": _short(report.commit_seconds),
            "work": work,
            "rests": {account: _short(seconds) for account, seconds in report.rests.items()},
        }
    )


def read_report(text: str) -> Report | None:
    """None if another release wrote it in another form: then it is as if that worker had not reported."""
    try:
        found = read_json(text)
        work = {}
        for key, (rows, seconds) in found["work"].items():
            stage, _, pool = key.partition("/")
            work[Stage(stage), pool] = Worked(_number(rows), _number(seconds))
        return Report(
            seconds=_number(found["seconds"]),
            core_seconds=_number(found["core_seconds"]),
            results=int(_number(found["results"])),
            commits=int(_number(found["commits"])),
            commit_seconds=_number(found["commit_seconds"]),
            work=work,
            rests={str(account): _number(seconds) for account, seconds in found.get("rests", {}).items()},
        )
    except (JsonError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _short(value: float) -> str:
    return f"{value:.6f}"


def _number(value: object) -> float:
    number = float(str(value))
    if not math.isfinite(number) or number < 0:
        raise ValueError("no such number")
    return number
