"""Callbacks while the workers are busy: until they are answered at 200 a second, and until the shop knows.

Whether the whole way bears 200 a second depends on the machine: beyond what it bears the work queues up, and the time
until the shop knows is as long as the run. So that is measured twice: at 200 a second as it is, and at half of the rate
at which the first run's callbacks were worked off.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from sqlalchemy.engine import make_url

from tests.bench.caller import Called
from tests.bench.ground import ACCOUNT, Ground, order_fields, start_program
from tests.bench.process_rows import AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import Processes, creates, message, ours, push, wait_until
from tests.bench.results import Row, percentile
from tests.callbacks import nebulox_callback, sign

#: Callbacks a second, each about an order of its own: each is judged, its invoice looked up, judged again, and told.
RATE = 200
#: Orders that are made meanwhile, for each callback: published, taken in, made at the provider, told.
ORDERS_EACH = 0.5
TICK_SECONDS = 0.02
PROCESSES = ("intake", "worker", "worker2", "beat", "web")
REFERENCES = "SELECT order_id, id, provider_ref FROM invoice WHERE order_id LIKE %s AND status = 'pending'"

#: What is known of an order: our invoice, and the provider's.
Made = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one load. ``paid``: when the receiver had each invoice's ``invoice.paid``, by our invoice."""

    rate: float  #: callbacks a second
    made: Made
    called: Sequence[Called]
    paid: Mapping[str, float]
    sender_late: float  #: seconds by which the sender itself was late at most
    orders: int
    cpu: Mapping[str, float]  #: seconds, by kind of process


def callback_rows(ground: Ground) -> list[Row]:
    """Two runs; their distributions as rows. Raises RuntimeError where a callback was not answered 200, or not told."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ground.database_url())
        subscribe(ground, url)
        options = {"max_in_flight": AT_A_TIME, "INVOICES_WEB_PORT": "0"}
        processes = stack.enter_context(ours(ground, url, *PROCESSES, **options))
        whole_rate(ground, INTAKE, creates(200, "invoices.create", INTAKE), 200)  # first calls, first connections
        _run(ground, processes, url, RATE, 1)
        busy = _run(ground, processes, url, RATE, ground.sizes.callback_seconds)
        half = _run(ground, processes, url, _worked_off(busy) / 2, ground.sizes.callback_seconds)
    return [*_answer_rows(busy), *_paid_rows(busy, "-at-200", None), *_paid_rows(half, "", 2000)]


def _worked_off(found: Run) -> float:
    """Callbacks a second, from the first that was sent to the last that the shop knew of."""
    took = max(found.paid.values()) - min(one.sent_at for one in found.called)
    return len(found.called) / took


def _run(ground: Ground, processes: Processes, url: str, rate: float, seconds: int) -> Run:
    """Make orders, then pay them all at a steady rate while others come in."""
    run, count = uuid.uuid4().hex[:8], int(rate * seconds)
    made = _make(ground, url, run, count)
    ground.ask("reset", "POST")
    ground.ask("record", "POST")
    before = processes.cpu_seconds() | ground.engine_cpu()
    with _caller(ground, f"{processes.web_url()}/callbacks/{ACCOUNT}", rate, _callbacks(ground, made)) as caller:
        sent = _send_orders(ground, run, rate * ORDERS_EACH, seconds)
        told = json.loads(caller.communicate()[0])
    called = [Called(*one) for one in told["called"]]
    refused = Counter(one.status for one in called if one.status != 200)
    if refused:
        raise RuntimeError(f"callbacks that were not answered 200, by status: {dict(refused)}")
    wait_until(lambda: ground.ask("stats")["hooks"] >= count + sent, f"{count} paid and {sent} new ones were told", 300)
    after = processes.cpu_seconds() | ground.engine_cpu()
    used = {name: now - before[name] for name, now in after.items()}
    paid = {subject: at for subject, kind, at, *_ in ground.arrivals()["hooks"] if kind == "invoice.paid"}
    return Run(rate, made, called, paid, told["late"], sent, used)


def _make(ground: Ground, url: str, run: str, count: int) -> Made:
    """Orders that wait for their payment."""
    orders = [order_fields(f"{run}-{number}") for number in range(count)]
    parts = [orders[first : first + 500] for first in range(0, count, 500)]
    ground.ask("reset", "POST")
    push(ground.redis, INTAKE, [message("invoices.create_many", {"orders": part}, INTAKE) for part in parts])
    wait_until(lambda: ground.ask("stats")["hooks"] >= count, f"{count} invoices were made")
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as plain:
        return {order: (invoice, ref) for order, invoice, ref in plain.execute(REFERENCES, (f"{run}-%",))}


def _callbacks(ground: Ground, made: Made) -> list[tuple[str, str, str]]:
    """Signed, by order. The stand-in's look-up finds in the tracking code what it is to answer."""
    key = ground.account(0).api_key.get_secret_value()
    bodies = {order: nebulox_callback(order, trackingCode=f"{ref}~{order}") for order, (_, ref) in made.items()}
    return [(order, body.decode(), sign(body, key)) for order, body in bodies.items()]


@contextlib.contextmanager
def _caller(
    ground: Ground, url: str, rate: float, callbacks: Sequence[tuple[str, str, str]]
) -> Iterator[subprocess.Popen[bytes]]:
    """The sender, at work."""
    given = ground.folder / "callbacks.jsonl"
    given.write_text("".join(json.dumps(one) + "\n" for one in callbacks), encoding="utf-8")
    argv = [sys.executable, "-m", "tests.bench.caller", url, str(rate), str(given)]
    with start_program(argv, {}, subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _send_orders(ground: Ground, run: str, rate: float, seconds: int) -> int:
    """Other orders at a steady rate, for as long as callbacks are sent; how many."""
    start, sent = time.monotonic(), 0
    while (passed := time.monotonic() - start) < seconds:
        orders = [order_fields(f"{run}+{number}") for number in range(sent, int(passed * rate))]
        push(ground.redis, INTAKE, [message("invoices.create", order, INTAKE) for order in orders])
        sent += len(orders)
        time.sleep(TICK_SECONDS)
    return sent


def _answer_rows(found: Run) -> list[Row]:
    answered = [one.seconds * 1000 for one in found.called]
    return [
        _row(found, "callback-answer-p50", "callback sent -> answered 200, p50", answered, 0.5, None),
        _row(found, "callback-answer-p99", "callback sent -> answered 200, p99", answered, 0.99, 50),
    ]


def _paid_rows(found: Run, kind: str, goal: float | None) -> list[Row]:
    sent_at = {found.made[one.order_id][0]: one.sent_at for one in found.called}
    told = [(found.paid[invoice] - at) * 1000 for invoice, at in sent_at.items()]
    at = " at 200/s" if kind else ""
    return [
        _row(found, f"callback-paid{kind}-p50", f"callback sent -> invoice.paid received{at}, p50", told, 0.5, None),
        _row(found, f"callback-paid{kind}-p99", f"callback sent -> invoice.paid received{at}, p99", told, 0.99, goal),
    ]


def _row(found: Run, key: str, what: str, values: Sequence[float], share: float, goal: float | None) -> Row:
    half = "" if found.rate == RATE else ", half of what was worked off at 200/s"
    note = (
        f"{found.rate:.0f}/s{half}, {found.orders / len(found.called) * found.rate:.0f} new orders/s beside them; "
        f"worked off at {_worked_off(found):.0f}/s; the sender was late by {found.sender_late * 1000:.0f} ms at most"
    )
    row = Row(key, what, f"{len(values)} measured", "ms", goal, "less", ours=[percentile(values, share)], note=note)
    # Of a callback and of its share of the other orders.
    row.cpu_ms = {name: round(used / len(found.called) * 1000, 3) for name, used in found.cpu.items()}
    return row


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"callbacks": lambda: callback_rows(ground)}
