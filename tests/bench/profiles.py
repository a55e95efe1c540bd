"""`make profile`: flame graphs of the three hottest paths, under load, by py-spy; in `deploy/bench/profiles/`.

A sample is a moment in which a thread had work to do; one that waits for the network is not counted.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from domain.decision import Stage
from tests.bench.flame import drawing, read_stacks
from tests.bench.ground import Ground, add_orders
from tests.bench.http_rows import deliver_work, make_events, provider_work, run_stage
from tests.bench.process_rows import INTAKE
from tests.bench.processes import BIN, creates, drain_rate, ours, wait_until
from tests.bench.results import FOLDER, ROOT, commit
from tests.bench.sizes import chosen

PROFILES = FOLDER / "profiles"
RATE_HZ = 200
ATTACH_SECONDS = 2.0  #: py-spy says nothing when it has begun
#: prctl's PR_SET_PTRACER and PR_SET_PTRACER_ANY: lets a child process look at its parent where that is not usual.
_SET_PTRACER, _ANYBODY = 0x59616D61, -1


def main() -> int:
    """Measure each path and draw it."""
    if importlib.util.find_spec("py_spy") is None and not (BIN / "py-spy").exists():
        print("py-spy is missing: `make dev` installs it where there is a wheel for this machine", file=sys.stderr)
        return 2
    PROFILES.mkdir(parents=True, exist_ok=True)
    may_be_watched()
    with Ground(chosen()) as ground:
        for name, path in PATHS.items():
            stacks = ground.folder / f"{name}.txt"
            path(ground, stacks)
            root = read_stacks(stacks.read_text().splitlines())
            title = f"{name}: {root.samples:,} samples at {RATE_HZ} Hz, commit {commit()}"
            target = PROFILES / f"{name}.svg"
            target.write_text(drawing(root, title), encoding="utf-8")
            print(f"{target.relative_to(ROOT)}: {root.samples:,} samples, {target.stat().st_size / 1024:.0f} KiB")
    return 0


def may_be_watched() -> None:
    """Let a child of this process look at it, where that is not usual."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PTRACER, _ANYBODY, 0, 0, 0)


def create_path(ground: Ground, stacks: Path) -> None:
    """Claim, call, judge, commit: a worker's CREATE."""
    with ground.store() as store:
        count = ground.sizes.calls * 3
        add_orders(store, count)
        opener = provider_work(ground, store, Stage.CREATE, ground.account(100))
        with watched(os.getpid(), stacks):
            run_stage(store, opener, count, [])


def deliver_path(ground: Ground, stacks: Path) -> None:
    """Claim, sign, post, commit: a worker's DELIVER."""
    with ground.store() as store:
        count = ground.sizes.calls * 3
        ground.subscribe(store)
        make_events(store, count)
        with watched(os.getpid(), stacks):
            run_stage(store, deliver_work(ground, store), count, [])


def intake_path(ground: Ground, stacks: Path) -> None:
    """A message an order, read, validated, stored: the intake's process, Celery's consumer included."""
    count = ground.sizes.messages * 3
    with ground.database_url() as url, ours(ground, url, "intake") as processes:
        drain_rate(ground.redis, INTAKE, creates(200, "invoices.create", INTAKE), 200)
        messages = creates(count, "invoices.create", INTAKE)
        with watched(processes.pids()["intake"], stacks):
            drain_rate(ground.redis, INTAKE, messages, count)


PATHS: dict[str, Callable[[Ground, Path], None]] = {
    "create": create_path,
    "deliver": deliver_path,
    "intake": intake_path,
}


@contextlib.contextmanager
def watched(pid: int, stacks: Path, *options: str) -> Iterator[None]:
    """Samples of a process for the length of the block, as stacks in a file. ``options``: more of py-spy's."""
    command = [str(BIN / "py-spy"), "record", "--pid", str(pid), "--rate", str(RATE_HZ), "--duration", "3600"]
    command += ["--format", "raw", "--function", "--threads", "--output", str(stacks), *options]
    with (stacks.with_suffix(".log")).open("w+b") as log:
        spy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            time.sleep(ATTACH_SECONDS)
            yield
            spy.send_signal(signal.SIGINT)  # it ends by writing what it has seen
            wait_until(lambda: spy.poll() is not None, "py-spy has written its stacks", 60)
        finally:
            spy.kill()
            spy.wait()
        if not stacks.exists():
            raise RuntimeError(f"py-spy saw nothing: {Path(log.name).read_text(errors='replace')[-500:]}")


if __name__ == "__main__":
    sys.exit(main())
