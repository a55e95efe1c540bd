"""Where a run takes place: engines, the doors before them, nurseries, and with `HOSTS=2` the hosts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tests.acceptance.awaited import Running
from tests.acceptance.proxy import Door
from tests.acceptance.system import System, spawn
from tests.chaos.clock import MissingCompilerError, SettableClock, wrong_clock
from tests.chaos.hosts import Hosts, several_hosts
from tests.chaos.plan import DOORS, HOLD_ACCOUNT, HOSTS, Plan
from tests.chaos.postgres import run_mortal_postgres
from tests.chaos.receivers import DEAD_NAME, add_receivers
from tests.nursery import Nursery
from tests.servers import free_port

#: What the providers say of an invoice that names no lifetime. An expired one is watched until a minute after that, and
#: one in doubt whose callback lied is open until then: the campaign waits for both.
LIFETIME_SECONDS = 45
MONITOR_MINUTES = "1"
#: Its lease, 10 s more, is still over long before an outsider's lock is.
CALM_TIMEOUT_SECONDS = 15


@dataclass(slots=True)
class Grounds:
    """Everything that faults are done to."""

    system: System
    doors: Mapping[str, Door]  #: by the names of DOORS
    postgres: Path | None  #: the server's folder; None with SQLite
    hosts: Hosts | None
    prefixes: Mapping[str, Sequence[str]]  #: by host: what runs a command there, with its clock
    nurseries: Mapping[str, Nursery]  #: by host
    clock: str  #: in a few words
    database_clock: SettableClock | None  #: what the server goes by, where it can be set
    web_url: str  #: where callbacks go

    def spawn(self, name: str, *, cold: bool) -> None:
        """Start a process on its host."""
        host = next(host for host, names in HOSTS.items() if name in names)

        def start(name: str, argv: list[str], environment: Mapping[str, str], log: Path) -> Running:
            if cold:
                return spawn(name, [*self.prefixes[host], *argv], environment, log)
            return self.nurseries[host].start(argv, environment, log)

        self.system.spawn = start
        self.system.launch(name)


def make_accounts(plan: Plan) -> dict[str, dict[str, Any]]:
    """The account that holds what is in doubt, beside the usual two. In a calm run a busy machine must not be what a
    call times out for."""
    # Nine seconds, and eighteen: a campaign waits until nothing is due, and a lie is looked into for the whole grace.
    patience: dict[str, Any] = {"refund_watch_days": "0.0001", "callback_grace_minutes": "0.3"}
    patience |= {"timeout_seconds": CALM_TIMEOUT_SECONDS} if plan.calm else {}
    holding = {"provider": "zeroxhost", "on_doubt": "hold"}
    return {"nebulox": patience, "zeroxhost": patience, HOLD_ACCOUNT: holding | patience}


@contextlib.contextmanager
def prepared(plan: Plan, folder: Path) -> Iterator[Grounds]:
    """Engines of its own for a run. Raises MissingEngineError and MissingHostsError."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(several_hosts(tuple(HOSTS))) if plan.hosts > 1 else None
        address = hosts.address if hosts else "127.0.0.1"
        doors = {name: Door(host=address) for name in DOORS}
        accounts = make_accounts(plan)
        if plan.engine == "sqlite":
            database_clock = postgres = None
            system = System(folder, accounts=accounts, lifetime_seconds=LIFETIME_SECONDS)
        else:
            database_clock = _settable_clock(stack) if plan.step_seconds else None
            url, postgres = stack.enter_context(run_mortal_postgres(database_clock))
            set_database_defaults(url, plan.session.database)
            open_door(stack, doors["database"], f"{postgres}/.s.PGSQL.5432")
            through = make_url(url).set(host=address, port=doors["database"].port, query={})
            system = System(
                folder,
                database_url=through.render_as_string(hide_password=False),
                direct_database_url=url,
                accounts=accounts,
                lifetime_seconds=LIFETIME_SECONDS,
            )
        stack.enter_context(system)
        put_doors_before(stack, system, doors)
        web_url = f"http://127.0.0.1:{(port := free_port())}"
        system.environment |= {"INVOICES_WEB_PORT": str(port), **plan.session.environment}
        shift, clock = _south_clock(plan.clock_shift_seconds, folder)
        spaces = {name: hosts.command(name) if hosts else () for name in HOSTS}
        prefixes = {name: (*space, *(shift if name == "south" else ())) for name, space in spaces.items()}
        nurseries = {name: stack.enter_context(Nursery(command)) for name, command in prefixes.items()}
        stack.callback(end_all, system)  # before their nurseries end
        yield Grounds(system, doors, postgres, hosts, prefixes, nurseries, clock, database_clock, web_url)


def set_database_defaults(url: str, settings: Mapping[str, str]) -> None:
    """Make them the default of every session of this database to come."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    name = make_url(url).database
    with engine.connect() as connection:
        for setting, value in settings.items():
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    engine.dispose()


def _settable_clock(stack: contextlib.ExitStack) -> SettableClock | None:
    """In a folder that the server's user may read; None without a C compiler."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="invoices-clock-")))
    folder.chmod(0o755)
    with contextlib.suppress(MissingCompilerError):
        return SettableClock(folder)
    return None


def _south_clock(seconds: int, folder: Path) -> tuple[Sequence[str], str]:
    """What runs a command with that clock; and how the clocks stand, in words."""
    if not seconds:
        return (), "right everywhere"
    try:
        return wrong_clock(seconds, folder), f"{seconds:+d} s for {', '.join(HOSTS['south'])}"
    except MissingCompilerError as error:
        return (), f"right everywhere: {error}"


def open_door(stack: contextlib.ExitStack, door: Door, target: tuple[str, int] | str) -> None:
    """Let it lead there for as long as the stack stands."""
    door.target = target
    stack.enter_context(door)


def put_doors_before(stack: contextlib.ExitStack, system: System, doors: Mapping[str, Door]) -> None:
    """Processes reach broker, providers and receivers through doors, and so does the client its broker."""
    socket = system.broker_url.removeprefix("redis+socket://")
    host, _, port = system.sandbox.url.removeprefix("http://").partition(":")
    for name in ("client", "broker"):
        open_door(stack, doors[name], socket)
    for name in ("provider", "receiver"):
        open_door(stack, doors[name], (host, int(port)))
    place: Callable[[str], str] = lambda name: f"{doors[name].host}:{doors[name].port}"  # noqa: E731 - one line, thrice
    system.broker_url = f"redis://{place('client')}/0"
    accounts = system.environment["INVOICES_ACCOUNTS"]
    system.environment |= {
        "INVOICES_BROKER_URL": f"redis://{place('broker')}/0",
        "INVOICES_ACCOUNTS": accounts.replace(system.sandbox.url, f"http://{place('provider')}"),
        "INVOICES_WEBHOOK_ALLOW": f"127.0.0.1,{doors['receiver'].host},{DEAD_NAME}",
        "INVOICES_MONITOR_MINUTES": MONITOR_MINUTES,
    }
    add_receivers(system, f"http://{place('receiver')}")


def end_all(system: System) -> None:
    """SIGKILL for whoever is left."""
    for process in system.processes.values():
        process.kill()
        process.wait()
    system.processes.clear()
