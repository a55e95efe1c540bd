"""What everything is measured on: a PostgreSQL and a Valkey of the run's own, the stand-in, databases to fill."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from config.logging import configure_logging
from domain.account import Account
from domain.decision import Policy
from domain.order import Order
from domain.tracing import OFF, Tracer
from tests.bench.sizes import Sizes
from tests.bench.usage import cpu_seconds
from tests.engines import new_postgres_database, run_postgres, run_valkey
from workers.delivery.secretbox import SecretBox, new_key
from workers.embedded import lifeline
from workers.intake.tracing import add_traced
from workers.store.database import Database
from workers.store.endpoints import MAX_IN_FLIGHT, NewEndpoint, add_endpoint
from workers.store.schema import upgrade
from workers.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "shop"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: Everything a commit promises is kept, as in production; the rest is what a small server of today has.
SERVER = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}


class Filling(NamedTuple):
    """What a database holds before anything is measured; ``fill`` adds it to what ``base`` holds."""

    name: str
    fill: Callable[[Store], None]
    base: Filling | None = None


class Ground:
    """The engines of one run; ``with Ground(sizes) as ground``."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.secret_key = new_key()
        self._stack = contextlib.ExitStack()
        self._templates: dict[str, str] = {}

    def __enter__(self) -> Ground:
        signal.signal(signal.SIGTERM, _end_as_by_interrupt)  # so that servers are stopped and folders removed
        with contextlib.ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="invoices-bench-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            log = stack.enter_context((self.folder / "in-process.log").open("w"))
            configure_logging("json", "info", log)  # what logging costs is part of what work costs
            self.server_url = stack.enter_context(run_postgres(SERVER))
            self.template = stack.enter_context(new_postgres_database(self.server_url))
            upgrade(self.template)
            self.valkey = stack.enter_context(run_valkey())
            self.redis = stack.enter_context(redis.Redis.from_url(self.valkey.redis_url))
            self.port = self._start_stand_in(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_stand_in(self, stack: contextlib.ExitStack) -> int:
        process = start_program([sys.executable, "-m", "tests.bench.stand_in"], {}, subprocess.PIPE)
        stack.callback(_end, process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    # ------------------------------------------------------------ the stand-in

    def provider_url(self, delay_ms: int) -> str:
        """A provider whose answers take so long."""
        return f"http://127.0.0.1:{self.port}/d{delay_ms}"

    @property
    def hook_url(self) -> str:
        """The receiver of webhooks."""
        return f"http://127.0.0.1:{self.port}/hook"

    def ask(self, path: str, method: str = "GET") -> Any:
        """The stand-in's ledger."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def arrivals(self) -> Any:
        """What came since its recording began, which ends here: other rows post what is no event."""
        found = self.ask("arrivals")
        self.ask("reset", "POST")
        return found

    # ------------------------------------------------------------ databases

    @contextlib.contextmanager
    def database_url(self, filling: Filling | None = None) -> Iterator[str]:
        """A fresh migrated PostgreSQL database, filled; each filling is made once, and copied."""
        with _copied(self.server_url, self._template_of(filling)) as url:
            yield url

    def _template_of(self, filling: Filling | None) -> str:
        if filling is None:
            return self.template
        if filling.name not in self._templates:
            url = self._stack.enter_context(_copied(self.server_url, self._template_of(filling.base)))
            store = open_store(url)
            filling.fill(store)
            store.close()
            self._templates[filling.name] = url
        return self._templates[filling.name]

    @contextlib.contextmanager
    def store(self, filling: Filling | None = None) -> Iterator[Store]:
        """A store on a database of its own."""
        with self.database_url(filling) as url:
            store = open_store(url)
            try:
                yield store
            finally:
                store.close()

    # ------------------------------------------------------------ what the engines use

    def engine_pids(self) -> dict[str, int]:
        """The servers' first processes."""
        folder = Path(str(make_url(self.server_url).query["host"]))
        postgres = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        return {"PostgreSQL": postgres, "Valkey": int(self.redis.info("server")["process_id"])}

    def engine_cpu(self) -> dict[str, float]:
        """Seconds of CPU so far, connections that were closed included."""
        return {name: cpu_seconds(pid) for name, pid in self.engine_pids().items()}

    # ------------------------------------------------------------ what they are filled with

    def subscribe(self, store: Store, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        """Point an endpoint at the receiver."""
        sealed = SecretBox([self.secret_key]).seal(SECRET)
        with store.database.transaction() as connection:
            new = NewEndpoint(self.hook_url, sealed, max_in_flight=max_in_flight)
            add_endpoint(connection, "ep_bench", new, store.database.now(connection))

    def account(self, delay_ms: int, max_in_flight: int = 100) -> Account:
        """An account at the stand-in."""
        return Account(
            name=ACCOUNT,
            provider="nebulox",
            base_url=self.provider_url(delay_ms),
            api_key=SecretStr("bench-key-000000"),
            max_in_flight=max_in_flight,
        )


@contextlib.contextmanager
def _copied(server_url: str, template: str) -> Iterator[str]:
    """A copy of a database's files, dropped afterwards: seconds, where filling it takes a minute."""
    name = f"bench_{uuid.uuid4().hex}"
    plain = make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        source = make_url(template).database
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY FILE_COPY".encode())
        try:
            yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def open_store(url: str, can_be_asked: bool = False) -> Store:
    """A store that rings nobody."""
    return Store(Database(url, pool_size=12), {ACCOUNT: policy(can_be_asked)}, lambda _: None)


def plain(store: Store) -> psycopg.Connection[Any]:
    """A bare connection to the same database; the block it is used in is one transaction."""
    url = store.database.engine.url.set(drivername="postgresql")
    connection: psycopg.Connection[Any] = psycopg.connect(url.render_as_string(hide_password=False))
    connection.execute("SET timezone = 'UTC'")
    return connection


def policy(can_be_asked: bool = False) -> Policy:
    """The default account's."""
    return Policy(
        lifetime_minutes=Decimal(60),
        timeout_seconds=10,
        on_doubt="retry",
        poll_seconds=30,
        hold_refused_minutes=Decimal(10),
        monitor_minutes=Decimal(1440),
        can_be_asked=can_be_asked,
    )


def order_fields(order_id: str) -> dict[str, Any]:
    """An order as a shop would send it."""
    return {
        "account": ACCOUNT,
        "order_id": order_id,
        "price": "12.50",
        "currency": "EUR",
        "pay_currency": "BTC",
        "network": "Bitcoin",
        "metadata": {"cart": order_id, "customer": "c-1029384756"},
    }


def new_order(order_id: str) -> Order:
    """The same, validated."""
    return Order.model_validate(order_fields(order_id))


def add_orders(store: Store, count: int, prefix: str = "o", tracer: Tracer = OFF) -> None:
    """Queued orders, 500 a transaction."""
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        orders = [(new_order(f"{prefix}-{number}"), "nebulox") for number in numbers]
        add_traced(tracer, store.add_orders, orders, "message")


def start_program(argv: list[str], changes: Mapping[str, str], output: Any) -> subprocess.Popen[bytes]:
    """A program that dies with this process, in a session of its own as under `invoices up` and systemd."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    if sys.platform == "linux":
        argv = [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *argv]
    error = subprocess.STDOUT if output != subprocess.PIPE else None
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment | dict(changes),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=error,
        start_new_session=True,
    )


def _end_as_by_interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def settle_down(store: Store) -> None:
    """Let a filled database be as a running one is: analysed, its hint bits written."""
    with store.database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM (ANALYZE)")


def timed(do: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start
