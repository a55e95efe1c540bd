"""The drill, from the first order to the last webhook, and what it came to.

Asynchronous, by the runbook: everything is stopped, the replica is promoted, `invoices restored` tells what happened,
everything is started. Synchronous: nothing is stopped, nothing is told, nothing is lost.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from config.database_url import check_database_url
from domain.event import NAMED_ONLY
from tests.acceptance.system import ALL_PATIENT, ROOT, System, running, zeroxhost_order
from tests.acceptance.test_http_orders import new_token
from tests.engines import AS_SOMEBODY
from tests.failover.traffic import MARKER, Traffic
from tests.least_privilege import asked_for
from tests.pgbouncer import Pooler, run_pooler, set_role
from tests.replicas import STANDBY, Pair, require_cuts, run_pair
from tests.runbooks import paste
from tests.servers import wait_until

POOLED = "invoices"  #: the database's name at the pooler, as the runbook has it
PROCESSES = ("intake", "worker", "worker2", "beat", "web")
#: What a dead connection to the broker held comes back after 30 s; a doubt is repeated after up to half a minute.
SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``commits``: what the primary waits for before it answers a commit: nothing (`asynchronous`), or that the replica
    has it on its disk (`on`) or shows it (`remote_apply`)."""

    commits: str = "on"
    is_cut_off: bool = False  #: the primary lives on, and no packet reaches it any more; otherwise it is killed
    is_pooled: bool = False  #: processes know a PgBouncer only, in transaction mode, and that one server
    orders: int = 30  #: taken before the primary goes; half as many over HTTP after the replica took over
    per_second: float = 5.0
    unsafe: int = 6  #: if asynchronous: over HTTP, taken while the primary sends nothing more to its replica

    @property
    def name(self) -> str:
        parts = (self.commits, "cut off" if self.is_cut_off else "", "PgBouncer" if self.is_pooled else "")
        return ", ".join(filter(None, parts))

    @property
    def is_synchronous(self) -> bool:
        return self.commits != "asynchronous"

    def settings(self) -> dict[str, str]:
        """The primary's. Its replica, once promoted, has none to wait for."""
        if not self.is_synchronous:
            return {}
        return {"synchronous_standby_names": STANDBY, "synchronous_commit": self.commits}


@dataclass(slots=True)
class Figures:
    """What a run came to. Seconds are counted from the primary's end."""

    name: str
    orders: int = 0
    promoted_seconds: float = 0.0
    first_order_seconds: float = 0.0  #: until the web process took one again
    longest_gap_seconds: float = 0.0  #: in which no order over HTTP was taken
    answered_503: int = 0
    lost_orders: int = 0  #: that were answered 202, and are not in the database that took over
    doubts: int = 0
    created_twice: int = 0  #: at the provider, of the lost ones that were sent again
    rejected_messages: int = 0
    told: int = 0  #: events the receiver has
    told_of_lost: int = 0  #: of them, events that the database has lost
    restored: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stage:
    """Two servers, and all processes on them."""

    pair: Pair
    system: System
    pooler: Pooler | None = None  #: what stands between

    def runbook(self) -> dict[str, str]:
        """What the runbook has one set: where the replica is, the old primary's data, the programs, the pooler."""
        pair = self.pair
        place = f"host=127.0.0.1 port={pair.standby.port} user=postgres dbname=postgres"
        path = f"{pair.primary.programs}:{os.environ.get('PATH', os.defpath)}"
        found = {"NEW": place, "DATA": str(pair.primary.data), "PATH": path, **pair.primary.environment}
        if self.pooler is not None:
            ports = {"FROM": pair.primary.port, "TO": pair.standby.port}
            found |= {"POOLER": self.pooler.console, "INI": str(self.pooler.ini)}
            found |= {name: f"host=127.0.0.1 port={port}" for name, port in ports.items()}
        return found


@contextlib.contextmanager
def stage(home: Path, plan: Plan) -> Iterator[Stage]:
    """All of it, running."""
    if plan.is_cut_off:
        require_cuts()
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(run_pair(plan.settings()))
        pooler = None
        if plan.is_pooled:
            set_role(pair.primary.url)
            pooler = stack.enter_context(run_pooler(pair.primary.url, name=POOLED))
        system = System(
            home,
            database_url=pooler.url if pooler else pair.url,
            direct_database_url=check_database_url(pair.url),
            accounts=ALL_PATIENT,
            lifetime_seconds=3600,
            logins=asked_for(pair.primary.url, are_pooled=plan.is_pooled, stay=True),
            cold=True,
        )
        stack.enter_context(running(system, *PROCESSES))
        yield Stage(pair, system, pooler)


def fail_over(stage: Stage, plan: Plan) -> Figures:
    """Load, the primary's end, the replica in its place, load again, everything drained."""
    pair, system, figures = stage.pair, stage.system, Figures(plan.name)
    traffic = Traffic(system, new_token(system, "orders"), plan.per_second)
    with contextlib.ExitStack() as stack:
        stack.callback(traffic.stop)
        system.wait_until(lambda: traffic.count() >= plan.orders, "orders are taken", SECONDS)
        system.wait_until(lambda: system.statuses()["paid"] >= plan.orders // 4, "orders are paid", SECONDS)
        paste("Failover", "how far", stage.runbook())
        ended_at = _end_primary(pair, system, traffic, plan, stack)
        if not plan.is_synchronous:
            for name in PROCESSES:
                system.kill(name)
        _promote(stage)
        figures.promoted_seconds = time.monotonic() - ended_at
        unknown: Collection[str] = ()
        if not plan.is_synchronous:
            unknown = forgotten(system)
            figures.restored = _restored(system)
            system.launch(*PROCESSES)
        since = ended_at + figures.promoted_seconds
        enough = plan.orders // 2
        system.wait_until(lambda: traffic.count(by_http=True, after=since) >= enough, "orders are taken again", SECONDS)
    figures.first_order_seconds = min(one.at for one in traffic.taken if one.by_http and one.at > ended_at) - ended_at
    figures.longest_gap_seconds, figures.answered_503 = traffic.longest_gap(), traffic.answers[503]
    drain(system, traffic, figures, unknown)
    return figures


def _promote(stage: Stage) -> None:
    """By the runbook. The test's own way leads past the old primary from then on."""
    if stage.pooler is not None:
        paste("Failover", "pooler closed", stage.runbook())
    paste("Failover", "promote", stage.runbook())
    if stage.pooler is not None:
        paste("Failover", "pooler opened", stage.runbook())
    stage.system.engine.dispose()
    stage.system.engine = create_engine(stage.pair.standby.url, pool_pre_ping=True)


def _end_primary(pair: Pair, system: System, traffic: Traffic, plan: Plan, stack: contextlib.ExitStack) -> float:
    """Kill it or cut it off, until ``stack`` ends; if asynchronous after some orders that the replica doesn't get. When
    it was."""
    held = None
    if not plan.is_synchronous:
        held, known = pair.hold_back(), traffic.count(by_http=True)
        enough = known + plan.unsafe
        system.wait_until(lambda: traffic.count(by_http=True) >= enough, "orders that only the primary knows", SECONDS)
    if plan.is_cut_off:
        stack.enter_context(pair.cut_off_primary())
    else:
        pair.kill_primary(held)
    return time.monotonic()


def rejoin(stage: Stage) -> None:
    """The old primary follows the new one, by the runbook."""
    paste("Failover", "rejoin", stage.runbook(), cwd="/", **AS_SOMEBODY)
    query = "SELECT state FROM pg_stat_replication"
    wait_until(lambda: stage.pair.standby.ask(query) == [("streaming",)], "the old primary follows the new one")


def _restored(system: System) -> dict[str, Any]:
    """What the runbook says to do after a failover that may have lost commits."""
    said = paste("Failover", "tell", system.environment, cwd=ROOT)
    (restored,) = system.rows("SELECT epoch FROM restoration")
    return {"said": said.splitlines(), **restored}


def forgotten(system: System) -> set[str]:
    """Orders that the provider has and the database, as it was put back, has not. The broker may bring some again."""
    return set(system.creates()) - set(system.invoices())


def drain(system: System, traffic: Traffic, figures: Figures, unknown: Collection[str] = ()) -> None:
    """Until every message is worked off; what was lost is sent again; until all is paid and told. ``unknown``: orders
    that the database had forgotten and may have made again."""
    system.wait_until(lambda: _is_worked_off(system), "the intake's queue is worked off", SECONDS)
    taken = {one.order_id for one in traffic.taken}
    lost = taken - set(system.invoices())
    system.order(*(zeroxhost_order(order_id, MARKER) for order_id in lost))
    system.wait_for_statuses(paid=len(taken), seconds=SECONDS)
    system.wait_until(lambda: untold(system) == set(), "the receiver has every event", SECONDS)
    unpublished = "SELECT count(*) AS n FROM event WHERE published_at IS NULL"
    system.wait_until(lambda: system.rows(unpublished)[0]["n"] == 0, "the stream has every event", SECONDS)
    invoices, creates = system.invoices(), system.creates()
    figures.orders, figures.lost_orders = len(taken), len(lost)
    figures.doubts = sum(row["doubts"] for row in invoices.values())
    figures.created_twice = sum(creates[order_id] > 1 + invoices[order_id]["doubts"] for order_id in lost)
    repeated = {order for order, made in creates.items() if made > 1 + invoices[order]["doubts"]}
    unexplained = repeated - lost - set(unknown)
    assert not unexplained, f"created twice without a doubt: {unexplained}"
    figures.rejected_messages = system.rows("SELECT count(*) AS n FROM rejected_message")[0]["n"]
    known = {told["id"] for told in system.events()}
    figures.told, figures.told_of_lost = len(received(system)), len(received(system) - known)


def _is_worked_off(system: System) -> bool:
    return bool(system.broker.waiting("invoices.intake") == 0 and system.redis.hlen("invoices.unacked") == 0)


def received(system: System) -> set[str]:
    """The ids of the events that the receiver has."""
    answer = system.ask(f"{system.sandbox.receiver_url('shop')}/events")
    return {envelope["id"] for envelope in (answer["events"] if isinstance(answer, dict) else answer)}


def untold(system: System) -> set[str]:
    """The ids of events in the log that it has not."""
    return {told["id"] for told in system.events() if told["type"] not in NAMED_ONLY} - received(system)


def old_primary_waits(pair: Pair) -> bool:
    """Whether an old primary that was started again answers no commit: it waits for its replica, which has gone."""
    with contextlib.closing(pair.primary.open()) as writer, pair.primary.session() as watcher:
        writer.pgconn.send_query(b"CREATE TABLE written_apart ()")
        event = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
        pid = writer.info.backend_pid
        wait_until(lambda: watcher.execute(event, [pid]).fetchone() == ("SyncRep",), "the commit waits for a replica")
        watcher.execute("SELECT pg_terminate_backend(%s)", [pid])
    return True
