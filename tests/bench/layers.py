"""`python -m tests.bench.layers [--sqlite]`: where the CPU of an order's whole way goes, by layer and by stage.

py-spy looks 200 times a second, while intake and a worker are saturated, at the thread that holds the interpreter's
lock: any other that seems to run may only wait for the lock or a core. A sample belongs to the layer of the innermost
Python function: what a compiled part takes counts for who called it. A thread's samples share the milliseconds that the
kernel counted for that thread meanwhile, so what it does without the lock (system calls, the database's protocol)
counts for what it does with it. What the kernel counted for threads without a sample is a row of its own. py-spy does
not stop the process for a look: to be stopped and go on cost each of its threads 8 microseconds a look, a fifth of what
an order costs a worker. Kept in `deploy/bench/layers.md`, over SQLite in `layers-sqlite.md`.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.flame import plain_name
from tests.bench.ground import Ground
from tests.bench.process_rows import AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import creates, ours
from tests.bench.profiles import may_be_watched, watched
from tests.bench.results import FOLDER, commit, interpreter
from tests.bench.sizes import chosen
from tests.bench.sqlite_rows import sqlite_url
from tests.bench.usage import thread_ms

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
UNSEEN = "threads that were never seen with the lock"
_THREAD = re.compile(r"thread \((\d+)\)")
_STAGE = re.compile(r"workers/stages/(\w+)\.py$")


class Watched(NamedTuple):
    """The CPU-milliseconds of an order in one kind of process, by layer and by stage."""

    name: str
    layers: Mapping[str, float]
    stages: Mapping[str, float]
    ms: float


def main() -> int:
    """Measure, show, keep."""
    sizes, on_sqlite = chosen(), "--sqlite" in sys.argv[1:]
    count = sizes.whole
    may_be_watched()
    with Ground(sizes) as ground, contextlib.ExitStack() as stack:
        url = stack.enter_context(sqlite_url(ground) if on_sqlite else ground.database_url())
        subscribe(ground, url, AT_A_TIME)
        names = ("intake", "worker", "worker2", "beat")
        processes = stack.enter_context(ours(ground, url, *names, max_in_flight=AT_A_TIME))
        whole_rate(ground, INTAKE, creates(300, "invoices.create", INTAKE), 300)
        files = {name: ground.folder / f"layers-{name}.txt" for name in ("intake", "worker")}
        with contextlib.ExitStack() as watching:
            for name, path in files.items():
                watching.enter_context(watched(processes.pids()[name], path, "--gil", "--nonblocking"))
            threads = {name: thread_ms(processes.pids()[name]) for name in files}
            before = processes.cpu_seconds()
            rate = whole_rate(ground, INTAKE, creates(count, "invoices.create", INTAKE), count)
            used = {name: (now - before[name]) / count * 1000 for name, now in processes.cpu_seconds().items()}
            for name, began in threads.items():
                now = thread_ms(processes.pids()[name])
                threads[name] = {thread: ms - began.get(thread, 0.0) for thread, ms in now.items()}
        found = [_read(name, path.read_text().splitlines(), threads[name], used[name]) for name, path in files.items()]
    Console(width=120).print(_table(found))
    text = _document(found, count, rate, "SQLite" if on_sqlite else "PostgreSQL")
    if sizes.name != "tiny":
        (FOLDER / ("layers-sqlite.md" if on_sqlite else "layers.md")).write_text(text, encoding="utf-8")
    return 0


def _read(name: str, lines: Iterable[str], threads: Mapping[int, float], ms: float) -> Watched:
    """``threads``: the milliseconds of each thread of the process that was watched; ``ms``: those that an order cost
    all processes of its kind."""
    samples: dict[int, list[tuple[str, str, int]]] = {}
    for line in lines:
        stack, _, number = line.rpartition(" ")
        thread = _THREAD.match(stack)
        if thread:
            frames = [plain_name(frame) for frame in stack.split(";")]
            samples.setdefault(int(thread[1]), []).append((layer_of(frames), stage_of(frames), int(number)))
    layers: defaultdict[str, float] = defaultdict(float)
    stages: defaultdict[str, float] = defaultdict(float)
    scale = ms / sum(threads.values())
    for thread_id, used in threads.items():
        seen = samples.get(thread_id, [(UNSEEN, UNSEEN, 1)])
        total = sum(count for _, _, count in seen)
        for layer, stage, count in seen:
            layers[layer] += used * scale * count / total
            stages[stage] += used * scale * count / total
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


def _shares(counted: Mapping[str, float], whole: float) -> list[tuple[str, float, float]]:
    return [(name, ms / whole, ms) for name, ms in sorted(counted.items(), key=itemgetter(1), reverse=True)]


def _table(found: Sequence[Watched]) -> Table:
    table = Table("process", "what", "share", "CPU-ms an order")
    for one in found:
        for counted in (one.layers, one.stages):
            for name, share, ms in _shares(counted, one.ms):
                table.add_row(one.name, name, f"{share:.0%}", f"{ms:.2f}")
            table.add_section()
    return table


def _document(found: Sequence[Watched], count: int, rate: float, database: str) -> str:
    lines = [
        "# Where the CPU of an order goes",
        "",
        f"`python -m tests.bench.layers`, commit {commit()}, {interpreter()}, {database}: {count:,} orders by",
        f"`create`, {rate:.0f} a second while watched; intake, beat and two workers. Seen is the thread that holds the",
        "interpreter's lock; its samples share what the kernel counted for it, each for the innermost Python function",
        "that has a layer. Milliseconds are of all processes of a kind.",
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
