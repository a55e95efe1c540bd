"""Bad input and overload: what nobody can use, and what a provider can't take yet, among what others wait for."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from statistics import median

from tests.bad_messages import bad_message
from tests.bench.ground import ACCOUNT, Ground, order_fields
from tests.bench.processes import broker_lengths, creates, drain_rate, message, ours, push, wait_until
from tests.bench.results import Row, percentile

INTAKE = "invoices.intake"
#: Bytes: five kinds of bad messages are longer, by far.
LONG = 10_000
#: Calls a second that the overloaded account's provider allows; orders come at ten times that for some seconds. That is
#: far below what the intake takes: orders that wait for it, in the broker, are another matter.
ALLOWED, TIMES, BURST_SECONDS = 10, 10, 4
#: Orders a second of the other account, timed for as long as the burst lasts: none comes when it is over.
TRICKLE, TRICKLE_SECONDS = 20, BURST_SECONDS
TICK_SECONDS = 0.02


def bad_input_row(ground: Ground) -> Row:
    """Good orders a second through one intake process, with a bad message beside each, and with none.

    Half is what is left when a bad message costs as much as a good one: messages a second are twice the ratio.
    """
    count, numbers = ground.sizes.messages, itertools.count()
    row = Row("bad-input", "good orders in, a bad message beside each", "the good orders alone", "orders/s", 0.5)
    with ground.database_url() as url, ours(ground, url, "intake"):

        def beside(others: Iterator[bytes]) -> float:
            good = creates(count, "invoices.create", INTAKE)
            pairs = zip(itertools.islice(others, count), good, strict=True)
            return drain_rate(ground.redis, INTAKE, [each for pair in pairs for each in pair], count)

        def clean() -> float:
            return drain_rate(ground.redis, INTAKE, creates(count, "invoices.create", INTAKE), count)

        bad = (bad_message(number)[1] for number in numbers)
        clean()  # the first connections
        row.run(ground.sizes.rounds, lambda: beside(bad), clean)
        others: dict[str, Iterator[bytes]] = {
            "bad ones without the longest": (one for one in bad if len(one) < LONG),
            "a second good one instead": iter(creates(ground.sizes.rounds * count, "invoices.create", INTAKE)),
        }
        rates = {
            what: median(beside(messages) for _ in range(ground.sizes.rounds)) for what, messages in others.items()
        }
    told = [f"{what}: {rate:,.0f}/s, {rate / median(row.theirs):.2f}" for what, rate in rates.items()]
    row.note = "; ".join(told)
    return row


def overload_rows(ground: Ground) -> list[Row]:
    """An account's few orders while another has ten times what its provider allows, and while it has none."""
    what = "publish -> provider called beside ten times what another account's provider allows"
    shares = {"p50": 0.5, "p95": 0.95}
    rows = {name: Row(f"overload-{name}", f"{what}, {name}", "while it has none", "ms", 2, "less") for name in shares}
    account = ground.account(20)
    plain = {"provider": account.provider, "base_url": account.base_url, "api_key": account.api_key.get_secret_value()}
    accounts = {ACCOUNT: plain, "busy": plain | {"rate_per_second": ALLOWED, "max_in_flight": 10}}
    names = ("intake", "worker", "worker2", "beat")
    with (
        ground.database_url() as url,
        ours(ground, url, *names, delay_ms=20, INVOICES_ACCOUNTS=json.dumps(accounts)) as processes,
    ):
        _trickle(ground, 0)  # the first connections
        before = processes.memory_mib("worker")
        most = 0
        for _ in range(ground.sizes.rounds):
            idle, _ = _trickle(ground, 0)
            loaded, waiting = _trickle(ground, ALLOWED * TIMES)
            most = max(most, waiting)
            for name, share in shares.items():
                rows[name].ours.append(percentile(loaded, share))
                rows[name].theirs.append(percentile(idle, share))
        grown = processes.memory_mib("worker") - before
    for row in rows.values():
        row.note = f"most in the work queue: {most}; the worker grew by {grown:.0f} MiB"
    return list(rows.values())


def _trickle(ground: Ground, burst: int) -> tuple[list[float], int]:
    """Milliseconds of each order of the trickle, and the most that ever waited in the work queue.

    ``burst`` orders a second of the other account come at the same time, for BURST_SECONDS; returns when all are made.
    """
    ground.ask("reset", "POST")
    ground.ask("record", "POST")
    run, start, few, many, most = uuid.uuid4().hex[:8], time.time(), 0, 0, 0
    while (gone := time.time() - start) < TRICKLE_SECONDS:
        due = int(min(gone, BURST_SECONDS) * burst)
        push(ground.redis, INTAKE, [_order("busy", f"busy-{run}-{number}") for number in range(many, due)])
        many = max(many, due)
        if few < int(gone * TRICKLE):
            push(ground.redis, INTAKE, [_order(ACCOUNT, f"few-{run}-{few}@{time.time() * 1000:.2f}")])
            few += 1
        most = max(most, broker_lengths(ground)["invoices.work"])
        time.sleep(TICK_SECONDS)
    wait_until(lambda: ground.ask("stats")["creates"] >= few + many, f"{few + many} orders were made")
    calls = [found for found in ground.arrivals()["creates"] if str(found[0]).startswith("few-")]
    return [at * 1000 - float(order_id.rpartition("@")[2]) for order_id, at in calls], most


def _order(account: str, order_id: str) -> bytes:
    return message("invoices.create", order_fields(order_id) | {"account": account}, INTAKE)


def rows(ground: Ground) -> dict[str, Callable[[], Row | list[Row]]]:
    """By key."""
    return {"bad-input": lambda: bad_input_row(ground), "overload": lambda: overload_rows(ground)}
