"""`python -m tests.bench.layers`: where the CPU of an order's whole way goes, by layer and by stage.

py-spy looks at threads that run, 200 times a second, while intake and a worker are saturated. A sample belongs to the
layer of the innermost Python function: what a compiled part takes counts for who called it. Shares become milliseconds
by what the kernel counted for the process meanwhile. Kept in `deploy/bench/layers.md`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.flame import plain_name
from tests.bench.ground import Ground
from tests.bench.process_rows import CALLS_AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import creates, ours
from tests.bench.profiles import may_be_watched, watched
from tests.bench.results import FOLDER, commit
from tests.bench.sizes import chosen

#: A layer by the beginnings of module paths; the first that fits counts.
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("logging", ("config/logging.py", "structlog/", "logging/", "workers/cli/streams.py", "domain/visible.py")),
    ("our HTTP client", ("workers/http/", "httptools/", "httpx/", "aiohappyeyeballs/")),
    ("our transport", ("workers/transport/", "workers/queue/")),
    ("Celery, kombu, redis-py", ("celery/", "kombu/", "redis/", "vine/", "billiard/")),
    ("SQLAlchemy", ("sqlalchemy/",)),
    ("psycopg", ("psycopg/", "psycopg_binary/", "psycopg_pool/")),
    ("validation", ("pydantic/", "pydantic_core/", "domain/order.py", "domain/requests.py")),
    ("JSON", ("json/", "simplejson/", "domain/exact_json.py", "domain/json_size.py")),
    ("our store", ("workers/store/",)),
    ("our stages and engine", ("workers/stages/", "workers/engine/", "workers/providers/", "workers/delivery/")),
    ("our intake", ("workers/intake/",)),
    ("our domain", ("domain/",)),
    ("metrics and traces", ("workers/telemetry/", "prometheus_client/")),
    ("event loop and threads", ("asyncio/", "uvloop/", "concurrent/", "threading.py", "selectors.py", "queue.py")),
    ("ours, the rest", ("workers/", "config/")),
)
OTHER = "everything else"
_STAGE = re.compile(r"workers/stages/(\w+)\.py$")


class Watched(NamedTuple):
    """One process's samples, and the CPU-milliseconds of an order that they stand for."""

    name: str
    layers: Counter[str]
    stages: Counter[str]
    ms: float


def main() -> int:
    """Measure, show, keep."""
    sizes = chosen()
    count = sizes.whole
    may_be_watched()
    with Ground(sizes) as ground, contextlib.ExitStack() as stack:
        url = stack.enter_context(ground.database_url())
        subscribe(ground, url)
        names = ("intake", "worker", "worker2", "beat")
        processes = stack.enter_context(ours(ground, url, *names, max_in_flight=CALLS_AT_A_TIME))
        whole_rate(ground, INTAKE, creates(300, "invoices.create", INTAKE), 300)
        files = {name: ground.folder / f"layers-{name}.txt" for name in ("intake", "worker")}
        with contextlib.ExitStack() as watching:
            for name, path in files.items():
                watching.enter_context(watched(processes.pids()[name], path))
            before = processes.cpu_seconds()
            rate = whole_rate(ground, INTAKE, creates(count, "invoices.create", INTAKE), count)
            used = {name: (now - before[name]) / count * 1000 for name, now in processes.cpu_seconds().items()}
        found = [_read(name, path.read_text().splitlines(), used[name]) for name, path in files.items()]
    Console(width=120).print(_table(found))
    text = _document(found, count, rate)
    if sizes.name != "tiny":
        (FOLDER / "layers.md").write_text(text, encoding="utf-8")
    return 0


def _read(name: str, lines: Iterable[str], ms: float) -> Watched:
    layers: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        if stack:
            frames = [plain_name(frame) for frame in stack.split(";")]
            layers[layer_of(frames)] += int(number)
            stages[stage_of(frames)] += int(number)
    return Watched(name, layers, stages, ms)


def layer_of(frames: Sequence[str]) -> str:
    """The layer of the innermost function that belongs to one."""
    for frame in reversed(frames):
        path = frame.rpartition(" ")[2]
        for layer, beginnings in LAYERS:
            if path.startswith(beginnings):
                return layer
    return OTHER


def stage_of(frames: Sequence[str]) -> str:
    """The outermost stage that the work was for; else the part of the house that was at work."""
    for frame in frames:
        found = _STAGE.search(frame)
        if found:
            return found[1]
    inner = next((frame for frame in reversed(frames) if " workers/" in frame), "")
    return inner.rpartition(" ")[2].split("/")[1] if inner else OTHER


def _shares(counted: Mapping[str, int], ms: float) -> list[tuple[str, float, float]]:
    total = sum(counted.values()) or 1
    return [(name, number / total, number / total * ms) for name, number in Counter(counted).most_common()]


def _table(found: Sequence[Watched]) -> Table:
    table = Table("process", "what", "share", "CPU-ms an order")
    for one in found:
        for counted in (one.layers, one.stages):
            for name, share, ms in _shares(counted, one.ms):
                table.add_row(one.name, name, f"{share:.0%}", f"{ms:.2f}")
            table.add_section()
    return table


def _document(found: Sequence[Watched], count: int, rate: float) -> str:
    lines = [
        "# Where the CPU of an order goes",
        "",
        f"`python -m tests.bench.layers`, commit {commit()}: {count:,} orders by `create`, {rate:.0f} a second while",
        "watched; intake, beat and two workers. A sample belongs to the innermost Python function that has a layer.",
        "Milliseconds are of all processes of a kind.",
    ]
    for one in found:
        lines += ["", f"## {one.name}: {one.ms:.2f} CPU-ms an order", ""]
        for title, counted in (("layer", one.layers), ("stage", one.stages)):
            lines += [f"| {title} | share | CPU-ms an order |", "|---|---|---|"]
            rows = [row for row in _shares(counted, one.ms) if row[1] >= 0.005]
            lines += [f"| {name} | {share:.0%} | {ms:.2f} |" for name, share, ms in rows]
            lines.append("")
        lines.pop()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
