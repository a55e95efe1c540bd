"""Callbacks at a steady rate while the workers are busy: until they are answered, and until the shop knows."""

from __future__ import annotations

import contextlib
import json
import select
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
from tests.bench.process_rows import CALLS_AT_A_TIME, INTAKE, subscribe, whole_rate
from tests.bench.processes import Processes, creates, message, ours, push, wait_until
from tests.bench.results import Row, percentile
from tests.callbacks import nebulox_callback, sign

#: Callbacks a second, each about an order of its own: each is judged, its invoice looked up, judged again, and told.
RATE = 200
#: Orders a second that are made meanwhile: published, taken in, made at the provider, told.
ORDERS_RATE = 100
TICK_SECONDS = 0.02
PROCESSES = ("intake", "worker", "worker2", "beat", "web")
REFERENCES = "SELECT order_id, id, provider_ref FROM invoice WHERE order_id LIKE %s AND status = 'pending'"

#: What is known of an order: our invoice, and the provider's.
Made = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one load. ``paid``: when the receiver had each invoice's ``invoice.paid``, by our invoice."""

    made: Made
    called: Sequence[Called]
    paid: Mapping[str, float]
    sender_late: float  #: seconds by which the sender itself was late at most
    orders: int
    cpu: Mapping[str, float]  #: seconds, by kind of process


def callback_rows(ground: Ground) -> list[Row]:
    """One run; its distributions as rows. Raises RuntimeError where a callback was not answered 200, or not told."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ground.database_url())
        subscribe(ground, url)
        options = {"max_in_flight": CALLS_AT_A_TIME, "INVOICES_WEB_PORT": "0"}
        processes = stack.enter_context(ours(ground, url, *PROCESSES, **options))
        whole_rate(ground, INTAKE, creates(200, "invoices.create", INTAKE), 200)  # first calls, first connections
        _run(ground, processes, url, RATE)
        found = _run(ground, processes, url, RATE * ground.sizes.callback_seconds)
    return _rows(found, ground.sizes.callback_seconds)


def _run(ground: Ground, processes: Processes, url: str, count: int) -> Run:
    """Make orders, then pay them all while others come in."""
    run = uuid.uuid4().hex[:8]
    made = _make(ground, url, run, count)
    ground.ask("reset", "POST")
    ground.ask("record", "POST")
    before = processes.cpu_seconds()
    with _caller(ground, f"{processes.web_url()}/callbacks/{ACCOUNT}", _callbacks(ground, made)) as caller:
        sent = _send_until_ended(ground, run, caller)
        told = json.loads(caller.communicate()[0])
    called = [Called(*one) for one in told["called"]]
    refused = Counter(one.status for one in called if one.status != 200)
    if refused:
        raise RuntimeError(f"callbacks that were not answered 200, by status: {dict(refused)}")
    wait_until(lambda: ground.ask("stats")["hooks"] >= count + sent, f"{count} paid and {sent} new ones were told", 120)
    used = {name: now - before[name] for name, now in processes.cpu_seconds().items()}
    paid = {subject: at for subject, kind, at, *_ in ground.arrivals()["hooks"] if kind == "invoice.paid"}
    return Run(made, called, paid, told["late"], sent, used)


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
def _caller(ground: Ground, url: str, callbacks: Sequence[tuple[str, str, str]]) -> Iterator[subprocess.Popen[bytes]]:
    """The sender, at work."""
    given = ground.folder / "callbacks.jsonl"
    given.write_text("".join(json.dumps(one) + "\n" for one in callbacks), encoding="utf-8")
    argv = [sys.executable, "-m", "tests.bench.caller", url, str(RATE), str(given)]
    with start_program(argv, {}, subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _send_until_ended(ground: Ground, run: str, caller: subprocess.Popen[bytes]) -> int:
    """Other orders at a steady rate, for as long as callbacks are sent; how many."""
    start, sent, answer = time.monotonic(), 0, caller.stdout
    assert answer is not None
    while not select.select([answer], [], [], TICK_SECONDS)[0]:
        due = int((time.monotonic() - start) * ORDERS_RATE)
        orders = [order_fields(f"{run}+{number}") for number in range(sent, due)]
        push(ground.redis, INTAKE, [message("invoices.create", order, INTAKE) for order in orders])
        sent = max(sent, due)
    return sent


def _rows(found: Run, seconds: int) -> list[Row]:
    answered = [one.seconds * 1000 for one in found.called]
    sent_at = {found.made[one.order_id][0]: one.sent_at for one in found.called}
    told = [(found.paid[invoice] - at) * 1000 for invoice, at in sent_at.items()]
    note = (
        f"{RATE}/s for {seconds} s, {found.orders / seconds:.0f} new orders/s beside them; "
        f"the sender was late by {found.sender_late * 1000:.0f} ms at most"
    )
    rows = [
        _row("callback-answer-p50", "callback sent -> answered 200, p50", answered, 0.5, None, note),
        _row("callback-answer-p99", "callback sent -> answered 200, p99", answered, 0.99, 50, note),
        _row("callback-paid-p50", "callback sent -> invoice.paid received, p50", told, 0.5, None, note),
        _row("callback-paid-p99", "callback sent -> invoice.paid received, p99", told, 0.99, 2000, note),
    ]
    each = {name: round(used / len(found.called) * 1000, 3) for name, used in found.cpu.items()}
    for row in rows:
        row.cpu_ms = each  # of a callback and of its share of the other orders
    return rows


def _row(key: str, what: str, values: Sequence[float], share: float, goal: float | None, note: str) -> Row:
    found = percentile(values, share)
    return Row(key, what, f"{len(values)} measured", "ms", goal, "less", ours=[found], note=note)


def rows(ground: Ground) -> dict[str, Callable[[], list[Row]]]:
    """By key."""
    return {"callbacks": lambda: callback_rows(ground)}
