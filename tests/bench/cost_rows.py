"""What an invoice costs in CPU time: each stage alone, in this process and in the engines, then the whole way.

CPU time of a process is what the kernel counts for it, so these figures stay much the same on a busy machine.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from domain.decision import Stage
from tests.bench.expiry_rows import clock_work
from tests.bench.ground import Filling, Ground, add_orders, open_store, plain
from tests.bench.http_rows import Opener, deliver_work, make_events, provider_work, run_stage
from tests.bench.process_rows import AT_A_TIME, INTAKE, OURS_LONGER, subscribe, whole_rate
from tests.bench.processes import Processes, creates, drain_rate, lists, ours
from tests.bench.results import Row
from tests.bench.sql_rows import due_ones, fill, publish_work
from workers.store.store import Store

#: The oldest of the pages that the stand-in lists end here: 10 pages, a hundred a page.
CHECKED = 1000
IDLE_SECONDS, SETTLE_SECONDS, IDLE_GOAL = 10, 5, 20
#: Open invoices of a provider that can be asked, as the stand-in names them, all due for a look-up.
MAKE_ASKABLE = (
    "UPDATE invoice SET provider = 'zeroxhost', provider_ref = 'c-' || (substr(id, 5)::bigint - 1)",
    "UPDATE agenda SET due_at = now() + interval '1 day'",
    "INSERT INTO agenda (stage, subject, lane, due_at, claims, pokes)"
    " SELECT 'check', id, 'shop', now(), 0, 0 FROM invoice",
)


class Bill:
    """CPU-milliseconds an item, by who used them, round after round."""

    def __init__(self, key: str, what: str, unit: str = "CPU-ms each") -> None:
        self._row = Row(key, what, "", unit, better="less")
        self._parts: dict[str, list[float]] = {}

    def add(self, used_ms: Mapping[str, float]) -> None:
        """One round."""
        self._row.ours.append(sum(used_ms.values()))
        for name, value in used_ms.items():
            self._parts.setdefault(name, []).append(value)

    def row(self) -> Row:
        """The medians."""
        self._row.cpu_ms = {name: round(statistics.median(values), 3) for name, values in self._parts.items()}
        return self._row


def stage_row(
    ground: Ground, stage: str, count: int, prepare: Callable[[Store], None], opener: Callable[[Store], Opener]
) -> Row:
    """A stage alone, from claim to commit; ``prepare`` puts ``count`` rows on the agenda."""
    bill = Bill(f"cost-{stage}", f"CPU of {stage.upper()} alone")
    for _ in range(ground.sizes.rounds):
        with ground.store() as store:
            prepare(store)
            _run(ground, store, opener(store), count, bill)
    return bill.row()


def _run(ground: Ground, store: Store, opener: Opener, count: int, bill: Bill, **options: Any) -> None:
    before, cpu = ground.engine_cpu(), list[float]()
    run_stage(store, opener, count, cpu, **options)
    engines = {name: (used - before[name]) / count * 1000 for name, used in ground.engine_cpu().items()}
    bill.add({"worker": cpu[0]} | engines)


def check_row(ground: Ground) -> Row:
    """A look-up in pages of a hundred that brings nothing new, as nearly all do."""
    bill = Bill("cost-check", "CPU of CHECK alone, nothing new")
    account = ground.account(0).model_copy(update={"provider": "zeroxhost"})
    for _ in range(ground.sizes.rounds):
        with ground.database_url(Filling("askable", _fill_askable)) as url:
            store = open_store(url, can_be_asked=True)
            _run(ground, store, provider_work(ground, store, Stage.CHECK, account), CHECKED, bill)
            store.close()
    return bill.row()


def _fill_askable(store: Store) -> None:
    fill(store, CHECKED)
    with plain(store) as connection:
        for statement in MAKE_ASKABLE:
            connection.execute(statement)


def clock_row(ground: Ground) -> Row:
    """Expiries, without an endpoint."""
    bill, due = Bill("cost-clock", "CPU of CLOCK alone, an expiry"), ground.sizes.open_few // 2
    for _ in range(ground.sizes.rounds):
        with ground.store(due_ones(due, ground.sizes.open_few)) as store:
            _run(ground, store, clock_work(store), due, bill)
    return bill.row()


def publish_row(ground: Ground) -> Row:
    """Events to the stream; the stage itself is one row of the agenda, whatever their number."""
    bill, count = Bill("cost-publish", "CPU of PUBLISH alone"), ground.sizes.calls
    for _ in range(ground.sizes.rounds):
        with ground.store() as store:
            make_events(store, count)
            store.add_standing()
            one = Bill("", "")
            told = functools.partial(_all_told, store)
            _run(ground, store, publish_work(ground, store), 1, one, tell=told)
            bill.add({name: used / count for name, used in one.row().cpu_ms.items()})
    return bill.row()


def _all_told(store: Store, _: Sequence[Any]) -> int:
    """One, when the stream has been told everything."""
    return 0 if store.publishing.unpublished(1) else 1


def stage_rows(ground: Ground) -> list[Row]:
    """Every stage of the worker."""
    count = ground.sizes.calls

    def create_orders(store: Store) -> None:
        add_orders(store, count)

    def create_deliveries(store: Store) -> None:
        ground.subscribe(store)
        make_events(store, count)

    account = ground.account(100)
    return [
        stage_row(ground, "create", count, create_orders, lambda s: provider_work(ground, s, Stage.CREATE, account)),
        check_row(ground),
        clock_row(ground),
        publish_row(ground),
        stage_row(ground, "deliver", count, create_deliveries, lambda s: deliver_work(ground, s)),
    ]


# ---------------------------------------------------------------- processes


def process_rows(ground: Ground) -> list[Row]:
    """Orders in by either message, the whole way, and what it costs to do nothing."""
    found = []
    for key, kind, make in (("cost-intake", "create", creates), ("cost-intake-many", "create_many", lists)):
        bill, count = Bill(key, f"CPU of the intake by {kind}"), ground.sizes.messages
        with ground.database_url() as url, ours(ground, url, "intake") as processes:
            for _ in range(ground.sizes.rounds):
                messages = make(count, f"invoices.{kind}", INTAKE)
                drain = functools.partial(drain_rate, ground.redis, INTAKE, messages, count)
                _metered(ground, processes, bill, count, drain)
        found.append(bill.row())
    return [*found, whole_row(ground)]


def whole_row(ground: Ground) -> Row:
    """All processes at once."""
    count = ground.sizes.whole * OURS_LONGER
    whole = Bill("cost-whole", "CPU of the whole way by create, everything")
    with ground.database_url() as url:
        subscribe(ground, url, AT_A_TIME)
        with ours(ground, url, "intake", "worker", "worker2", "beat", max_in_flight=AT_A_TIME) as processes:
            for _ in range(ground.sizes.rounds):
                messages = creates(count, "invoices.create", INTAKE)
                go = functools.partial(whole_rate, ground, INTAKE, messages, count)
                _metered(ground, processes, whole, count, go)
    return whole.row()


def idle_row(ground: Ground) -> Row:
    """What it costs to do nothing, all processes and both servers, after some orders: connections are open then."""
    bill, before = Bill("cost-idle", "CPU of everything idle", "CPU-ms a second"), 300
    with ground.database_url() as url:
        subscribe(ground, url)
        with ours(ground, url, "intake", "worker", "worker2", "beat") as processes:
            whole_rate(ground, INTAKE, creates(before, "invoices.create", INTAKE), before)
            time.sleep(SETTLE_SECONDS)
            for _ in range(ground.sizes.rounds):
                _metered(ground, processes, bill, IDLE_SECONDS, lambda: time.sleep(IDLE_SECONDS))
    row = bill.row()
    row.goal = IDLE_GOAL
    return row


def _metered(ground: Ground, processes: Processes, bill: Bill, count: int, do: Callable[[], object]) -> None:
    def used() -> dict[str, float]:
        return processes.cpu_seconds() | ground.engine_cpu()

    before = used()
    do()
    bill.add({name: (now - before[name]) / count * 1000 for name, now in used().items()})


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {
        "cost": lambda: [*process_rows(ground), *stage_rows(ground)],
        "cost-idle": lambda: [idle_row(ground)],
    }
