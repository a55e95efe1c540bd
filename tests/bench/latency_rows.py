"""How long things take at half of what the machine can do: to the provider, to the expiry, to the webhook."""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from tests.bench.ground import Ground, order_fields
from tests.bench.process_rows import AT_A_TIME, INTAKE, OURS_LONGER, subscribe, whole_rate
from tests.bench.processes import creates, message, ours, push, wait_until
from tests.bench.results import Row, percentile

#: Every so many orders one that expires within the run.
SHORT_EVERY, SHORT_SECONDS = 5, 5
EVENTS_EACH = 1 + 1 / SHORT_EVERY  #: those have two to tell of; the capacity is measured with orders that have one
TICK_SECONDS = 0.02

#: When each invoice's last change was committed, by the server's own record of it.
COMMITTED = """
SELECT id, status, expires_at, pg_xact_commit_timestamp(xmin) FROM invoice WHERE order_id LIKE %s
"""


def calm_rows(ground: Ground) -> list[Row]:
    """One run at half of the capacity for a message an order; its distributions as rows."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ground.database_url())
        subscribe(ground, url, AT_A_TIME)
        stack.enter_context(ours(ground, url, "intake", "worker", "worker2", "beat", max_in_flight=AT_A_TIME))
        count = ground.sizes.whole * OURS_LONGER
        goes = [whole_rate(ground, INTAKE, creates(count, "invoices.create", INTAKE), count) for _ in range(4)]
        capacity = statistics.median(goes[1:])  # the first has the first calls in it
        rate = capacity / 2 / EVENTS_EACH
        ground.ask("record", "POST")
        run = uuid.uuid4().hex[:8]
        sent = _send_calmly(ground, run, rate)
        expected = sent + sent // SHORT_EVERY
        wait_until(lambda: ground.ask("stats")["hooks"] >= expected, f"{expected} webhooks came", 120)
        arrivals = ground.arrivals()
        with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as plain:
            invoices = plain.execute(COMMITTED, (f"{run}-%",)).fetchall()
    events = f"{rate * EVENTS_EACH:.0f} events/s, half of {capacity:.0f}/s"
    return _rows(arrivals, invoices, f"{rate:.0f} orders/s ({events}) for {ground.sizes.calm_seconds} s")


def _send_calmly(ground: Ground, run: str, rate: float) -> int:
    """Orders at a steady rate, their time of publishing in their ids; how many."""
    start, sent = time.time(), 0
    while (now := time.time()) < start + ground.sizes.calm_seconds:
        due = int((now - start) * rate)
        push(ground.redis, INTAKE, [_order(run, number) for number in range(sent, due)])
        sent = max(sent, due)
        time.sleep(TICK_SECONDS)
    while sent % SHORT_EVERY:
        push(ground.redis, INTAKE, [_order(run, sent)])
        sent += 1
    return sent


def timed_order(run: str, number: int, lifetime_seconds: float | None = None) -> bytes:
    """An order with the time of its publishing, in milliseconds, behind the ``@`` of its id."""
    fields = order_fields(f"{run}-{number}@{time.time() * 1000:.2f}")
    if lifetime_seconds is not None:
        fields["lifetime_minutes"] = f"{lifetime_seconds / 60:.4f}"
    return message("invoices.create", fields, INTAKE)


def _order(run: str, number: int) -> bytes:
    return timed_order(run, number, None if number % SHORT_EVERY else SHORT_SECONDS)


def _rows(arrivals: Any, invoices: Sequence[tuple[Any, ...]], note: str) -> list[Row]:
    calls = [at * 1000 - float(order_id.rpartition("@")[2]) for order_id, at in arrivals["creates"]]
    committed = {(row[0], f"invoice.{row[1]}"): row[3].timestamp() for row in invoices}
    hooks = [
        (at - committed[invoice, kind]) * 1000
        for invoice, kind, at, *_ in arrivals["hooks"]
        if (invoice, kind) in committed
    ]
    late = [_late(row[2], row[3]) for row in invoices if row[1] == "expired"]
    early = sum(milliseconds < 0 for milliseconds in late)
    return [
        _row("call-p50", "publish -> provider called, p50", calls, 0.5, 50, note),
        _row("call-p99", "publish -> provider called, p99", calls, 0.99, 250, note),
        _row("hook-p50", "change committed -> webhook received, p50", hooks, 0.5, 50, note),
        _row("hook-p99", "change committed -> webhook received, p99", hooks, 0.99, 250, note),
        _row("expiry-p99", "expires_at -> event committed, p99", late, 0.99, 1000, f"{note}; early: {early}"),
    ]


def _late(expires_at: datetime, committed_at: datetime) -> float:
    """Milliseconds."""
    return (committed_at - expires_at).total_seconds() * 1000


def _row(key: str, what: str, values: Sequence[float], share: float, goal: float, note: str) -> Row:
    found = percentile(values, share)
    return Row(key, what, f"{len(values)} measured", "ms", goal, "less", ours=[found], note=note)


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"calm": lambda: calm_rows(ground)}
