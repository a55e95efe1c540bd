"""Orders over HTTP: against the least that could take them, and what one costs beside Celery's way."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

from sqlalchemy.engine import make_url

from domain.permissions import Scope
from tests.bench.ground import Ground, open_store, order_fields, start_program
from tests.bench.process_rows import INTAKE
from tests.bench.processes import creates, drain_rate, ours
from tests.bench.results import Row
from tests.bench.usage import cpu_seconds
from workers.store.acts import Actor
from workers.store.operate.tokens import NewToken, add

CONNECTIONS = 64


def intake_row(ground: Ground) -> Row:
    """An order a request, answered after its commit; nobody makes them meanwhile."""
    count, cpu = ground.sizes.messages, {"web": 0.0, "bare": 0.0}
    row = Row("api-intake", "POST /v1/orders, an order a request", "a bare route, one INSERT", "orders/s", 0.5)
    with ground.database_url() as url, ours(ground, url, "web", INVOICES_WEB_PORT="0") as processes:
        token = _token(url)

        def over_http() -> float:
            before = processes.cpu_seconds()["web"]
            rate = _post(ground, f"{processes.web_url()}/v1/orders", count, token)
            cpu["web"] = (processes.cpu_seconds()["web"] - before) / count * 1000
            return rate

        with _bare(url) as (bare_url, pid):

            def bare() -> float:
                before = cpu_seconds(pid)
                rate = _post(ground, bare_url, count)
                cpu["bare"] = (cpu_seconds(pid) - before) / count * 1000
                return rate

            row.run(ground.sizes.rounds, over_http, bare)
    row.cpu_ms = {name: round(used, 3) for name, used in cpu.items()}
    return row


def cost_row(ground: Ground) -> Row:
    """What an order costs the process that takes it in: by HTTP, and by a message of Celery's. CPU-milliseconds."""
    count = ground.sizes.messages
    row = Row("api-cost", "CPU of the web process an order", "CPU of the intake process a message", "ms", None, "less")
    with ground.database_url() as url, ours(ground, url, "web", "intake", INVOICES_WEB_PORT="0") as processes:
        token = _token(url)

        def used(kind: str, do: Callable[[], object]) -> float:
            before = processes.cpu_seconds()[kind]
            do()
            return (processes.cpu_seconds()[kind] - before) / count * 1000

        def by_message() -> None:
            drain_rate(ground.redis, INTAKE, creates(count, "invoices.create", INTAKE), count)

        def by_http() -> None:
            _post(ground, f"{processes.web_url()}/v1/orders", count, token)

        row.run(ground.sizes.rounds, lambda: used("web", by_http), lambda: used("intake", by_message))
    return row


def _token(url: str) -> str:
    store = open_store(url)
    try:
        return add(store, Actor("bench", "bench", None), NewToken("bench", [Scope.ORDERS]))[1]
    finally:
        store.close()


def _post(ground: Ground, url: str, count: int, token: str | None = None) -> float:
    """Orders a second. Raises RuntimeError where one was not taken."""
    run, given = uuid.uuid4().hex[:8], ground.folder / "orders.jsonl"
    orders = [json.dumps(order_fields(f"{run}-{number}")) for number in range(count)]
    given.write_text("\n".join(orders) + "\n", encoding="utf-8")
    argv = [sys.executable, "-m", "tests.bench.poster", url, str(CONNECTIONS), str(given), *([token] if token else [])]
    with start_program(argv, {}, subprocess.PIPE) as process:
        told = json.loads(process.communicate()[0])
    if told["statuses"] != {"202": count}:
        raise RuntimeError(f"answers by status: {told['statuses']}, and {count} were to be 202")
    return count / float(told["seconds"])


@contextlib.contextmanager
def _bare(database_url: str) -> Iterator[tuple[str, int]]:
    """The bare route's URL and its process's id."""
    plain = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with start_program([sys.executable, "-m", "tests.bench.bare_api", plain], {}, subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/orders", process.pid
        finally:
            process.kill()


def rows(ground: Ground) -> dict[str, Callable[[], Row]]:
    """By key."""
    return {"api-intake": lambda: intake_row(ground), "api-cost": lambda: cost_row(ground)}
