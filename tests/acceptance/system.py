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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

from config.database_url import check_database_url
from tests.acceptance.awaited import Awaited, Running
from tests.acceptance.facts import RECEIVER
from tests.acceptance.messages import Messages
from tests.engines import new_postgres_database
from tests.least_privilege import ASKED, MEMBERS, SERVER, Logins, asked_for
from tests.migrated import new_sqlite_url
from tests.nursery import PROGRAMS, shared
from tests.redis_brokers import Broker, Embedded
from workers.embedded import lifeline
from workers.embedded.procfile import read_procfile
from workers.embedded.sandbox.process import SandboxProcess
from workers.store.schema import upgrade

ROOT = Path(__file__).resolve().parents[2]
SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
STOP_SECONDS = 180.0  #: nobody needs so long; a busy machine may
START_SECONDS = 180.0  #: of a process, and for a command: on a busy machine the imports alone take a minute
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


#: What only the owner of the tables can do.
OWNERS_COMMANDS = ("migrate", "restored", "archive", "move")

#: (name, command line, environment, log) -> the process.
Spawn = Callable[[str, list[str], Mapping[str, str], Path], Running]


def spawn(_name: str, argv: list[str], environment: Mapping[str, str], log: Path, cwd: Path = ROOT) -> Running:
    """A process that ends with this one; its output goes to its log."""
    if sys.platform == "linux":
        argv = [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), *argv]
    with log.open("ab") as output:
        return subprocess.Popen(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def fork(name: str, argv: list[str], environment: Mapping[str, str], log: Path) -> Running:
    """The same by fork from a process that has imported everything, if it is one of ours."""
    if argv[0] not in PROGRAMS:
        return spawn(name, argv, environment, log)
    return shared().start(argv, environment, log)


def _run(argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "workers.cli", *argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=seconds)


class System(Messages, Awaited):
    """`with System(tmp_path) as system: system.start("intake", "worker") …`

    ``accounts`` adds to, or changes, the two sandbox accounts. ``database_url`` None is the embedded SQLite file;
    ``direct_database_url`` is the test's own way to the same database, past what stands in the processes' way.
    ``broker`` None is the embedded Valkey of ``home``; a broker that was given is not stopped here.
    ``cold``: each process is started by an interpreter of its own, as in production, and not by fork (``fork``).
    With ``logins`` each kind of process, and the command, has a login of its own at the database, and at a broker that
    has ``settings_of`` one. With INVOICES_TEST_ROLES=1 in the environment every system on PostgreSQL has them, and one
    that names no database is on PostgreSQL if INVOICES_TEST_POSTGRES_URL names a server, unless it ``stays_embedded``.
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
        logins: Logins | None = None,
        stays_embedded: bool = False,
        cold: bool = False,
    ) -> None:
        self.home = home
        self._cold = cold
        self._given_broker = broker
        self._stack = contextlib.ExitStack()
        if not (database_url or stays_embedded) and os.environ.get(ASKED) == "1" and SERVER in os.environ:
            database_url = self._stack.enter_context(new_postgres_database(os.environ[SERVER]))
        self.logins = logins or asked_for(direct_database_url or database_url)
        self._changes = accounts or {}
        self._database_url = database_url
        self.direct_database_url = direct_database_url or database_url or f"sqlite+pysqlite:///{home}/invoices.db"
        self._lifetime_seconds = lifetime_seconds
        self._commands = {spec.name: spec.argv for spec in read_procfile(ROOT / "Procfile")}
        self.processes: dict[str, Running] = {}
        self.spawn: Spawn = spawn if cold else fork  #: how a process is started; a campaign has ways of its own
        self._log_starts: dict[str, int] = {}

    def __enter__(self) -> System:
        with self._stack.pop_all() as stack:
            stack.callback(self._end_all)
            self._log_file("sandbox").touch()
            log = stack.enter_context(self._log_file("sandbox").open("a"))
            options = ("--lifetime-seconds", str(self._lifetime_seconds), "--seed", "7")
            self.sandbox = stack.enter_context(SandboxProcess(*options, log=log))
            self.broker = self._given_broker or stack.enter_context(contextlib.closing(Embedded(self.home)))
            self.broker_url, self.redis = self.broker.broker_url, self.broker.redis
            self.environment = self._environment()
            self.migrate()
            if self.logins is not None:
                stack.callback(self.logins.drop)
                self.logins.create()
            self.engine = _open_engine(self.direct_database_url)
            stack.callback(self._close_engine)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        refused = [] if self.logins is None else self.refused_rights()
        self._stack.close()
        assert kind is not None or not refused, refused

    def refused_rights(self) -> list[str]:
        """Lines of the logs that tell of a right at the database that was missing, whatever was done about it."""
        words = ("permission denied for", "InsufficientPrivilege")
        return [line for line in self.log_lines() if any(word in line for word in words)]

    def _close_engine(self) -> None:
        """The one that is there by then: after a failover or a move it is another."""
        self.engine.dispose()

    def migrate(self) -> None:
        """The database, to the schema that the processes are to find."""
        if self._database_url is None and not (self.home / "invoices.db").exists():
            new_sqlite_url(self.home)
        else:
            upgrade(self.direct_database_url)

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
            "INVOICES_NICE": "0",  # beside busy tests they would wait for their turn
            **self.broker.settings,
        }
        if self._database_url:
            settings["INVOICES_DATABASE_URL"] = self._database_url
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return inherited | settings | {"PATH": path, "PYTHONUNBUFFERED": "1"}

    def environment_of(self, who: str) -> dict[str, str]:
        """With the logins of a kind of process, or of ``people``, where they have one."""
        found = dict(self.environment)
        if self.logins is not None and who in MEMBERS and self._database_url:
            login = make_url(self.logins.url(who)).username
            through = make_url(check_database_url(self._database_url)).set(username=login)
            found["INVOICES_DATABASE_URL"] = through.render_as_string(hide_password=False)
        return found | dict(self.broker.settings_of(who))

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
            self.wait_until(functools.partial(self._is_ready, name), f"{name} is ready", START_SECONDS)

    def start_program(self, name: str, argv: list[str]) -> None:
        """Start a program that dies with this process; its output goes to its log."""
        assert name not in self.processes, f"{name} runs already"
        log = self._log_file(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0
        self.processes[name] = self.spawn(name, argv, self.environment_of(name.rstrip("0123456789")), log)

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

    # ------------------------------------------------------------ the command

    def command(self, *arguments: str) -> list[Any]:
        """`invoices …`; its JSON lines."""
        environment = self.environment if arguments[0] in OWNERS_COMMANDS else self.environment_of("people")
        done = (_run if self._cold else shared().run)(["invoices", *arguments], environment, 240)
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
            connection.execute("PRAGMA busy_timeout=60000")

    return engine
