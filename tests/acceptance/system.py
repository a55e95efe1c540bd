"""The whole system for a test: the Procfile's processes, a Valkey, a database, the sandbox as providers and receiver.

Messages are published with bare kombu and read through SQL and the `invoices` command: nothing here calls our code to
do what a test is about. Every process is ended by its own id.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import kombu
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from domain.against import CONTRADICTION
from domain.event import ORDER_REJECTED
from tests.redis_brokers import Broker, Embedded
from workers.embedded import lifeline
from workers.embedded.procfile import read_procfile
from workers.embedded.sandbox.process import SandboxProcess
from workers.store.schema import upgrade

ROOT = Path(__file__).resolve().parents[2]
INTAKE_QUEUE, WORK_QUEUE = "invoices.intake", "invoices.work"
SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
RECEIVER = "shop"
ENDED = frozenset({"paid", "expired", "failed", "cancelled"})
DEADLINE_SECONDS = 60.0
STOP_SECONDS = 40.0
TAIL_LINES = 40
#: Sequences begin anew above so many for each time that the database was put back (`invoices restored`).
EPOCH = 1_000_000
#: PostgreSQL's settings of the test's own sessions.
SESSION = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c bytea_output=hex -c client_encoding=UTF8 "
    "-c default_transaction_isolation=read\\ committed"
)
#: An account with which, however busy the machine, no call is given up and no lease ends meanwhile (a time-out and
#: 10 s): a doubt or a second call is ours. With 3 s, calls may time out on a busy machine: a doubt, and by `on_doubt` a
#: repeat. Not for what a killed worker had in hand: that is waited for.
PATIENT: Mapping[str, Any] = {"timeout_seconds": 60}
ALL_PATIENT: Mapping[str, Mapping[str, Any]] = {"nebulox": PATIENT, "zeroxhost": PATIENT}


class Running(Protocol):
    """What is needed of a `subprocess.Popen`."""

    pid: int
    returncode: Any

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, how: int, /) -> None: ...

    def kill(self) -> None: ...


#: (name, command line, environment, log) -> the process.
Spawn = Callable[[str, list[str], Mapping[str, str], Path], Running]


def spawn(_name: str, argv: list[str], environment: Mapping[str, str], log: Path) -> Running:
    """A process that ends with this one; its output goes to its log."""
    if sys.platform == "linux":
        argv = [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *argv]
    with log.open("ab") as output:
        return subprocess.Popen(argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


class System:
    """`with System(tmp_path) as system: system.start("intake", "worker") …`

    ``accounts`` adds to, or changes, the two sandbox accounts. ``database_url`` None is the embedded SQLite file;
    ``direct_database_url`` is the test's own way to the same database, past what stands in the processes' way.
    ``broker`` None is the embedded Valkey of ``home``; a broker that was given is not stopped here.
    """

    def __init__(
        self,
        home: Path,
        *,
        database_url: str | None = None,
        direct_database_url: str | None = None,
        accounts: Mapping[str, Mapping[str, Any]] | None = None,
        lifetime_seconds: int = 900,
        broker: Broker | None = None,
    ) -> None:
        self.home = home
        self._given_broker = broker
        self._stack = contextlib.ExitStack()
        self._changes = accounts or {}
        self._database_url = database_url
        self.direct_database_url = direct_database_url or database_url or f"sqlite+pysqlite:///{home}/invoices.db"
        self._lifetime_seconds = lifetime_seconds
        self._commands = {spec.name: spec.argv for spec in read_procfile(ROOT / "Procfile")}
        self.processes: dict[str, Running] = {}
        self.spawn: Spawn = spawn  #: how a process is started; a campaign has ways of its own
        self._log_starts: dict[str, int] = {}

    def __enter__(self) -> System:
        with contextlib.ExitStack() as stack:
            stack.callback(self._end_all)
            self._log_file("sandbox").touch()
            log = stack.enter_context(self._log_file("sandbox").open("a"))
            options = ("--lifetime-seconds", str(self._lifetime_seconds), "--seed", "7")
            self.sandbox = stack.enter_context(SandboxProcess(*options, log=log))
            self.broker = self._given_broker or stack.enter_context(contextlib.closing(Embedded(self.home)))
            self.broker_url, self.redis = self.broker.broker_url, self.broker.redis
            self.environment = self._environment()
            upgrade(self.direct_database_url)
            self.engine = _open_engine(self.direct_database_url)
            stack.callback(self.engine.dispose)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------ settings

    def _environment(self) -> dict[str, str]:
        """What the processes get: nothing of ours but what is named here."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        settings = {
            "INVOICES_HOME": str(self.home),
            "INVOICES_ACCOUNTS": json.dumps(self.accounts()),
            "INVOICES_WEBHOOK_ALLOW": "127.0.0.1",
            "INVOICES_LOG_FORMAT": "json",
            "INVOICES_SECRET_KEY": SECRET_KEY,
            "INVOICES_WEB_PORT": "0",
            **self.broker.settings,
        }
        if self._database_url:
            settings["INVOICES_DATABASE_URL"] = self._database_url
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return inherited | settings | {"PATH": path, "PYTHONUNBUFFERED": "1"}

    def accounts(self) -> dict[str, dict[str, Any]]:
        """The accounts as JSON: short time-outs, so that leases of killed workers run out soon."""
        common = {"timeout_seconds": 3, "poll_seconds": 0.5}
        accounts: dict[str, dict[str, Any]] = {
            "nebulox": {"provider": "nebulox", "base_url": self.sandbox.nebulox_url, "api_key": "sandbox-nebulox-key"},
            "zeroxhost": {
                "provider": "zeroxhost",
                "base_url": self.sandbox.zeroxhost_url,
                "api_key": "sandbox-zeroxhost-key",
            },
        }
        for name, changes in self._changes.items():
            accounts[name] = accounts[str(changes.get("provider", name))] | dict(changes)
        return {name: common | account for name, account in accounts.items()}

    # ------------------------------------------------------------ processes

    def start(self, *names: str) -> None:
        """Start processes of the Procfile and wait until they are ready."""
        self.launch(*names)
        self.wait_until_ready(*names)

    def launch(self, *names: str) -> None:
        """Start processes of the Procfile; `worker2` is another `worker` with a node name of its own."""
        for name in names:
            kind = name.rstrip("0123456789")
            argv = [part.replace(f"{kind}@%h", f"{name}@%h") for part in self._commands[kind]]
            self.start_program(name, argv)

    def threads(self, name: str) -> int:
        """How many tasks a worker of the Procfile runs at a time."""
        argv = self._commands[name]
        return int(argv[argv.index("-c") + 1])

    def wait_until_ready(self, *names: str) -> None:
        """Until each says so."""
        for name in names:
            self.wait_until(functools.partial(self._is_ready, name), f"{name} is ready")

    def start_program(self, name: str, argv: list[str]) -> None:
        """Start a program that dies with this process; its output goes to its log."""
        assert name not in self.processes, f"{name} runs already"
        log = self._log_file(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        self.processes[name] = self.spawn(name, argv, self.environment, log)

    def web_url(self, name: str = "web") -> str:
        """Where the web process listens, as it said when it was last started."""
        listening = [json.loads(line) for line in self.new_log(name).splitlines() if "web.listening" in line]
        return str(listening[-1]["url"])

    def _is_ready(self, name: str) -> bool:
        """A worker says so itself, one with a pump when the pump runs. Beat says nothing."""
        mark = {"worker": b"pump.started", "intake": b" ready.", "beat": b"", "web": b"web.listening"}[
            name.rstrip("0123456789")
        ]
        return mark in self._log_file(name).read_bytes()[self._log_starts[name] :]

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code (negative: the signal that ended it)."""
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end {STOP_SECONDS:g} s after {how.name}\n{self.logs()}") from None

    def restart(self, name: str) -> None:
        """Start it again; one that still runs is killed first."""
        if name in self.processes:
            self.kill(name)
        self.start(name)

    def _end_all(self) -> None:
        """Everything that still runs was not asked for its manners: SIGKILL is part of what must be survived."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()

    def restart_broker(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the broker and start it again on the same data."""
        self.broker.restart(how)

    # ------------------------------------------------------------ messages in, by bare kombu

    def publish(self, task: str, kwargs: Mapping[str, Any] | str, **headers: str) -> None:
        """One message of Celery's protocol 2; ``kwargs`` may be JSON text, which goes out as it is."""
        self.publish_many(task, [kwargs], **headers)

    def publish_many(self, task: str, all_kwargs: list[Any], **headers: str) -> None:
        """Messages over one connection."""
        queue = kombu.Queue(
            INTAKE_QUEUE,
            kombu.Exchange(INTAKE_QUEUE, type="direct"),
            routing_key=INTAKE_QUEUE,
            queue_arguments=self.broker.queue_arguments,
        )
        options = self.broker.connection_options
        with kombu.Connection(self.broker_url, **options) as connection, connection.Producer() as producer:
            for kwargs in all_kwargs:
                body = kwargs if isinstance(kwargs, str) else json.dumps(kwargs)
                producer.publish(
                    f"[[], {body}, {{}}]",
                    exchange=queue.exchange,
                    routing_key=queue.routing_key,
                    declare=[queue],
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers={"lang": "py", "task": task, "id": str(uuid.uuid4()), **headers},
                )

    def order(self, *orders: Mapping[str, Any] | str) -> None:
        """Publish `invoices.create` for each."""
        self.publish_many("invoices.create", list(orders))

    # ------------------------------------------------------------ what came of it

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query, straight from the database."""
        with self.engine.connect() as connection:
            return [row._asdict() for row in connection.execute(text(query), values)]

    def invoices(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Every invoice whose order's id begins so, by that id."""
        found = self.rows("SELECT * FROM invoice WHERE order_id LIKE :like", like=f"{prefix}%")
        return {row["order_id"]: row for row in found}

    def statuses(self, prefix: str = "") -> Counter[str]:
        """How many invoices have which status."""
        query = "SELECT status, count(*) AS n FROM invoice WHERE order_id LIKE :like GROUP BY status"
        return Counter({row["status"]: row["n"] for row in self.rows(query, like=f"{prefix}%")})

    def events(self) -> list[dict[str, Any]]:
        """The log, in its order, each with its row's columns and the decoded `envelope`."""
        rows = self.rows("SELECT number, id, invoice_id, sequence, type, body, created_at FROM event ORDER BY number")
        return [row | {"envelope": json.loads(bytes(row["body"]))} for row in rows]

    def stream(self) -> list[dict[str, Any]]:
        """The stream's entries, decoded."""
        return [json.loads(fields[b"event"]) for _, fields in self.redis.xrange("invoices:events")]

    def received(self) -> dict[str, Any]:
        """The receiver's counts."""
        found: dict[str, Any] = self.ask(self.sandbox.receiver_url(RECEIVER))
        return found

    def calls(self, prefix: str = "", operation: str = "create") -> list[dict[str, Any]]:
        """The calls the sandbox has seen for orders whose id begins so."""
        found: list[dict[str, Any]] = self.control(f"calls?operation={operation}")["calls"]
        return [call for call in found if str(call["order_id"]).startswith(prefix)]

    def creates(self, prefix: str = "") -> Counter[str]:
        """How many creates the sandbox has seen for each order."""
        return Counter(_bare(call["order_id"]) for call in self.calls(prefix))

    def open_calls(self, prefix: str) -> int:
        """How many creates are under way."""
        return sum(call["ended"] == "open" for call in self.calls(prefix))

    def control(self, path: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """The sandbox's control address."""
        return self.ask(f"{self.sandbox.control_url}/{path}", body, method)

    def ask(self, url: str, body: Mapping[str, Any] | None = None, method: str | None = None) -> Any:
        """One exchange of JSON with the sandbox; its numbers keep their digits."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read() or b"null", parse_float=Decimal)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{url}: {error.code} {error.read().decode()}") from None

    def command(self, *arguments: str) -> list[Any]:
        """`invoices …`; its JSON lines."""
        command = [sys.executable, "-m", "workers.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, f"invoices {' '.join(arguments)}: {done.stderr.decode()}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def add_receiver(self, base_url: str = "", name: str = RECEIVER, *flags: str) -> str:
        """Point an endpoint at a receiver of the sandbox's, by the command line; the endpoint's id.

        ``base_url``: of what stands before the sandbox.
        """
        url = self.sandbox.receiver_url(name)
        if base_url:
            url = url.replace(self.sandbox.url, base_url)
        (endpoint,) = self.command("endpoints", "add", url, *flags, "--json")
        self.ask(f"{self.sandbox.receiver_url(name)}/secret", {"secret": endpoint["secret"]})
        return str(endpoint["id"])

    # ------------------------------------------------------------ waiting

    def wait_until(self, happened: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
        """Poll until it is true, and return that; what all logs end with when it does not come to be."""
        deadline = time.monotonic() + seconds
        while not (found := _try(happened)):
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended while we waited: {what}\n{self.logs()}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{self.state()}\n{self.logs()}"
            time.sleep(0.05)
        return found

    def holds(self, stands: Callable[[], Any], what: str, seconds: float) -> None:
        """Poll that it stays true for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert stands(), f"does not hold: {what}\n{self.state()}\n{self.logs()}"
            time.sleep(0.05)

    def wait_for_statuses(self, prefix: str = "", seconds: float = DEADLINE_SECONDS, **wanted: int) -> None:
        """Until there are exactly so many invoices of each status, and no others."""
        self.wait_until(lambda: self.statuses(prefix) == wanted, f"invoices {prefix}… are {wanted}", seconds)

    def wait_for_calls(self, prefix: str, at_least: int) -> None:
        """Until so many creates are under way at once."""
        self.wait_until(lambda: self.open_calls(prefix) >= at_least, f"{at_least} creates of {prefix}… are in flight")

    def wait_until_told(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Until the stream and the receiver have every event of the log."""

        def all_told() -> bool:
            count = self.rows("SELECT count(*) AS n FROM event WHERE type <> :type", type=ORDER_REJECTED)[0]["n"]
            untold = self.rows("SELECT count(*) AS n FROM event WHERE published_at IS NULL")[0]["n"]
            return untold == 0 and bool(self.received()["unique"] >= count)

        self.wait_until(all_told, "every event is told", seconds)

    def state(self) -> str:
        """Where things stand, in a few lines."""
        with contextlib.suppress(Exception):
            agenda = self.rows(
                "SELECT stage, lane, count(*) AS n, min(due_at) AS due, max(claims) AS claims FROM agenda "
                "GROUP BY stage, lane"
            )
            return f"statuses {dict(self.statuses())}\nagenda {agenda}\nreceiver {self.received()}"
        return "(no state: the database or the receiver does not answer)"

    def logs(self) -> str:
        """What every log ends with."""
        parts = []
        for path in sorted((self.home / "logs").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            parts += [f"--- {path.stem}", *(line[:600] for line in lines)]
        return "\n".join(parts)

    def log(self, name: str) -> str:
        """A process's whole log."""
        return self._log_file(name).read_text(errors="replace")

    def new_log(self, name: str) -> str:
        """What a process has written since it was last started."""
        return self._log_file(name).read_bytes()[self._log_starts[name] :].decode(errors="replace")

    def errors(self) -> list[str]:
        """Lines of any process's log that speak of an error or a bug, their beginnings."""
        return [line[:600] for line in self.log_lines() if '"level": "error"' in line or "Traceback" in line]

    def log_lines(self) -> list[str]:
        """All processes' logs."""
        paths = (self.home / "logs").glob("*.log")
        return [line for path in paths for line in path.read_text(errors="replace").splitlines()]

    def _log_file(self, name: str) -> Path:
        folder = self.home / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"

    # ------------------------------------------------------------ what must always be true

    def check_history(self) -> None:
        """The log has no gap and nothing twice; nothing expired before its time; stream and receiver were told it."""
        events, invoices = self.events(), {row["id"]: row for row in self.invoices().values()}
        by_invoice: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for told in events:
            by_invoice[told["invoice_id"]].append(told)
            assert told["envelope"]["id"] == told["id"]
            assert int(told["envelope"].get("sequence", 0)) == told["sequence"]
            if told["type"] == "invoice.expired" and "expires_at has passed" in told["envelope"]["data"]["reason"]:
                assert _time(told["created_at"]) >= _time(invoices[told["invoice_id"]]["expires_at"])
        for invoice_id, row in invoices.items():
            assert _is_whole([told["sequence"] for told in by_invoice[invoice_id]], row["sequence"]), row
            for told in by_invoice[invoice_id]:
                data = told["envelope"]["data"]
                assert told["type"] != CONTRADICTION or data["status"] == data["previous_status"], told
            ends = [told for told in by_invoice[invoice_id] if told["type"].removeprefix("invoice.") in ENDED]
            # Ended twice: a payment came late. One that was never confirmed leaves no anomaly on the row.
            late = [told for told in by_invoice[invoice_id] if told["envelope"]["data"]["anomaly"] == "late"]
            assert len(ends) <= 1 or late, ends

    def check_told(self) -> None:
        """The receiver and the stream have every event, each with its own id, in each invoice's order."""
        log = [told["id"] for told in self.events() if told["type"] != ORDER_REJECTED]  # for endpoints that name it
        received = self.ask(f"{self.sandbox.receiver_url(RECEIVER)}/events")
        envelopes = received["events"] if isinstance(received, dict) else received
        assert sorted(envelope["id"] for envelope in envelopes) == sorted(log)
        counts = self.received()
        assert (counts["invalid"], counts["gaps"], counts["out_of_order"]) == (0, 0, 0), counts
        seen: dict[str, int] = defaultdict(int)
        entries = [entry for entry in self.stream() if entry["type"] != ORDER_REJECTED]
        for entry in entries:
            assert int(entry["sequence"]) <= seen[entry["subject"]] + 1, entry
            seen[entry["subject"]] = max(seen[entry["subject"]], int(entry["sequence"]))
        assert {entry["id"] for entry in entries} == set(log)

    def lateness(self) -> list[float]:
        """Seconds from `expires_at` to the event, of each invoice the clock expired: to be reported."""
        expires = {row["id"]: _time(row["expires_at"]) for row in self.invoices().values() if row["expires_at"]}
        return sorted(
            (_time(told["created_at"]) - expires[told["invoice_id"]]).total_seconds()
            for told in self.events()
            if told["type"] == "invoice.expired"
        )


def nebulox_order(order_id: str, **fields: Any) -> dict[str, Any]:
    """An order for Nebulox; markers for the sandbox may stand in its id."""
    return {"account": "nebulox", "order_id": order_id, "price": "12.50", "currency": "EUR"} | fields


def zeroxhost_order(order_id: str, marker: str = "", **fields: Any) -> dict[str, Any]:
    """An order for 0xhost; markers for the sandbox stand in the user id."""
    params = {"user_id": f"{order_id}{marker}", "server_id": "server-1"}
    return {"account": "zeroxhost", "order_id": order_id, "params": params} | fields


@contextlib.contextmanager
def running(system: System, *names: str) -> Iterator[System]:
    """A system with a receiver and these processes."""
    with system:
        system.launch(*names)
        system.add_receiver()
        system.wait_until_ready(*names)
        yield system


def _open_engine(url: str) -> Engine:
    # What a test reads must not depend on the defaults that it gave the database.
    ours = {} if url.startswith("sqlite") else {"options": SESSION}
    engine = create_engine(url, pool_pre_ping=True, connect_args=ours)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA busy_timeout=10000")

    return engine


def _try(happened: Callable[[], Any]) -> Any:
    """A database that is away, or not there yet, has not shown it."""
    try:
        return happened()
    except OperationalError:
        return None


def follows(sequence: int, last: int) -> bool:
    """Whether an event may come right after one with the sequence ``last`` (0: none): the next number, or the first of
    a later epoch, as after `invoices restored`."""
    return sequence == last + 1 or (sequence > last and sequence > EPOCH and sequence % EPOCH == 1)


def _is_whole(sequences: list[int], last: int) -> bool:
    """Whether an invoice's events have no gap, and end where its row does."""
    before = [0, *sequences]
    return before[-1] == last and all(follows(each, earlier) for earlier, each in zip(before, sequences, strict=False))


def _bare(order_id: str) -> str:
    """An order's id without the sandbox's markers."""
    return order_id.partition("~")[0]


def _time(value: Any) -> datetime:
    """A time as PostgreSQL gives it, or as SQLite keeps it; compared within one database only."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
