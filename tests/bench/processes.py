"""Worker processes as the Procfile starts them, what they use, and orders put into the broker at no cost to them."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from tests.bench import usage
from tests.bench.ground import ACCOUNT, ROOT, Ground, order_fields, start_program
from workers.embedded.procfile import read_procfile
from workers.transport.turns import lanes_of

BIN = Path(sys.executable).parent
READY = {"worker": b"pump.started", "intake": b" ready.", "web": b"web.listening"}
#: beat says nothing when it is ready: it has begun, and then uses next to nothing.
BEGUN_CPU_SECONDS, CALM_SECONDS, CALM_CPU_SECONDS = 0.3, 0.5, 0.03
PUSH_CHUNK = 500
QUEUES = ("invoices.intake", "invoices.work")


class Processes:
    """Processes of one environment; ended with the block."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment) | {"PYTHONUNBUFFERED": "1"}
        self._running: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()

    def start(self, name: str, argv: Sequence[str], ready: bytes | None) -> None:
        """Start a program of the virtual environment and wait until its log says so, or until it has come to rest."""
        path = self._folder / f"{name}.log"
        with path.open("wb") as log:
            program = [str(BIN / argv[0]), *argv[1:]]
            self._running[name] = start_program(program, self._environment, log)
        is_ready = (lambda: self._rests(name)) if ready is None else (lambda: ready in path.read_bytes())
        wait_until(lambda: is_ready() or self._ended(name), f"{name} is ready", 180)
        if self._ended(name):
            raise RuntimeError(f"{name} ended at once:\n{path.read_text(errors='replace')[-3000:]}")

    def start_ours(self, *names: str) -> None:
        """Processes of the Procfile; `worker2` is another `worker`."""
        commands = {spec.name: spec.argv for spec in read_procfile(ROOT / "Procfile")}
        for name in names:
            kind = name.rstrip("0123456789")
            self.start(name, [part.replace(f"{kind}@%h", f"{name}@%h") for part in commands[kind]], READY.get(kind))

    def _rests(self, name: str) -> bool:
        before = usage.cpu_seconds(self._running[name].pid)
        time.sleep(CALM_SECONDS)
        now = usage.cpu_seconds(self._running[name].pid)
        return before > BEGUN_CPU_SECONDS and now - before < CALM_CPU_SECONDS

    def _ended(self, name: str) -> bool:
        return self._running[name].poll() is not None

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time so far, by kind of process."""
        used: dict[str, float] = {}
        for name, process in self._running.items():
            kind = name.rstrip("0123456789")
            used[kind] = used.get(kind, 0.0) + usage.cpu_seconds(process.pid)
        return used

    def web_url(self) -> str:
        """Where the web process listens, as its log says."""
        lines = (self._folder / "web.log").read_text().splitlines()
        told = next(line for line in lines if '"web.listening"' in line)
        return str(json.loads(told)["url"])

    def pids(self) -> dict[str, int]:
        """Each process's id, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def memory_mib(self, name: str) -> float:
        """Resident memory of one process."""
        return usage.memory_mib(self._running[name].pid)


def our_environment(
    ground: Ground, database_url: str, home: Path, delay_ms: int = 100, max_in_flight: int = 100, **changes: str
) -> dict[str, str]:
    """What our processes get: everything as in production but the addresses; ``max_in_flight`` is the default's."""
    account = ground.account(delay_ms, max_in_flight)
    accounts = {
        ACCOUNT: {
            "provider": account.provider,
            "base_url": account.base_url,
            "api_key": account.api_key.get_secret_value(),
            "max_in_flight": account.max_in_flight,
        }
    }
    return {
        "INVOICES_HOME": str(home),
        "INVOICES_DATABASE_URL": database_url,
        "INVOICES_BROKER_URL": ground.valkey.broker_url,
        "INVOICES_REDIS_URL": ground.valkey.redis_url,
        "INVOICES_ACCOUNTS": json.dumps(accounts),
        "INVOICES_SECRET_KEY": ground.secret_key,
        "INVOICES_WEBHOOK_ALLOW": f"127.0.0.1:{ground.port}",
        "INVOICES_LOG_FORMAT": "json",
        **changes,
    }


@contextlib.contextmanager
def ours(ground: Ground, database_url: str, *names: str, **options: Any) -> Iterator[Processes]:
    """Our processes, running."""
    home = ground.folder / f"home-{uuid.uuid4().hex[:8]}"
    home.mkdir()
    with Processes(home / "logs", our_environment(ground, database_url, home, **options)) as processes:
        processes.start_ours(*names)
        yield processes


# ---------------------------------------------------------------- messages in


def message(task: str, kwargs: Mapping[str, Any], queue: str) -> bytes:
    """A message of protocol 2 in the form in which kombu puts it into a list of Redis."""
    task_id = str(uuid.uuid4())
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
    }
    headers |= {"eta": None, "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": ""}
    document = {
        "body": base64.b64encode(json.dumps([[], kwargs, {}]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": queue, "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(document).encode()


def creates(count: int, task: str, queue: str) -> list[bytes]:
    """A message an order."""
    run = uuid.uuid4().hex[:8]
    return [message(task, order_fields(f"{run}-{number}"), queue) for number in range(count)]


def lists(count: int, task: str, queue: str) -> list[bytes]:
    """Messages of 500 orders each; ``count`` orders in all."""
    run = uuid.uuid4().hex[:8]
    parts = [range(first, min(first + 500, count)) for first in range(0, count, 500)]
    return [message(task, {"orders": [order_fields(f"{run}-{n}") for n in part]}, queue) for part in parts]


def push(client: redis.Redis, queue: str, messages: Sequence[bytes]) -> None:
    """Publish, as fast as the broker takes it: what the shop's own processes need is not what is measured."""
    for first in range(0, len(messages), PUSH_CHUNK):
        client.lpush(queue, *messages[first : first + PUSH_CHUNK])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 600) -> None:
    """Poll until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def drain_rate(client: redis.Redis, queue: str, messages: Sequence[bytes], items: int) -> float:
    """Publish and wait until all are acknowledged; items a second."""
    start = time.perf_counter()
    push(client, queue, messages)
    wait_until(lambda: not _waiting(client, queue) and not client.hlen("invoices.unacked"), f"{queue} is empty")
    return items / (time.perf_counter() - start)


def _waiting(client: redis.Redis, queue: str) -> bool:
    """Whether a message is in the queue's list, or has gone from there into one of an account that waits its turn."""
    return bool(client.llen(queue)) or any(client.llen(lane) for lane in lanes_of(client, queue))


def broker_lengths(ground: Ground) -> dict[str, int]:
    """Messages in the broker: each queue over all its priorities, and what workers hold unacknowledged."""
    client = ground.redis
    found = dict.fromkeys(QUEUES, 0)
    for key in client.scan_iter("invoices.*", _type="list"):
        name = key.decode()
        queue = next((queue for queue in QUEUES if name.startswith(queue)), name)
        found[queue] = found.get(queue, 0) + int(client.llen(key))
    return found | {"unacked": int(client.hlen("invoices.unacked"))}
