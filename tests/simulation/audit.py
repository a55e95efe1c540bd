"""The auditor: the same promises as the crash campaign's, against what the stand-ins saw and the tables hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from domain.against import CONTRADICTION
from domain.evidence import FAILED_LOOK_UP
from domain.sequence import POSITION_STEP
from domain.status import SILENT, TRANSITIONS, Status
from tests.acceptance.checked import follows
from tests.simulation.callback_audit import missed, unkept, unproven
from tests.simulation.database import moment
from tests.simulation.plan import UNTIL_TAKEN_SECONDS

#: In a quiet history an order is taken up within this, far below a sweep: two transactions on its way may each
#: pause for half a second (seed 308441).
PROMPT_SECONDS = 1.2
#: A lease that nobody finishes, and more than one look.
SOON_SECONDS = 30.0
ENDED = {"paid", "expired", "failed", "cancelled", "refunded"}
LOG = (
    "SELECT position, id, invoice_id, sequence, at FROM event_position JOIN event ON event.number = event_number"
    " JOIN sim_placed USING (event_number) ORDER BY position"
)
STANDING = "('publish', 'retain')"
#: A row of the agenda: its invoice is expired, and is watched on because no look-up was answered.
UNHEARD_WATCH = (
    "(stage IN ('check', 'clock') AND subject IN"
    f" (SELECT id FROM invoice WHERE status = 'expired' AND evidence_digest LIKE '{FAILED_LOOK_UP}%'))"
)


def audit(world: Any, *, at_rest: bool) -> list[str]:
    """Every breach of a promise, in one line each."""
    checks: dict[str, Callable[[Any], Iterator[str]]] = {
        "no order lost": _lost,
        "no invoice stuck": _stuck,
        "no lease kept or taken": _leases,
        "no provider call repeated": _repeated,
        "doubt only where there is reason": _doubts,
        "the truth of the provider": _contradicting,
        "every change told once, in order": _history,
        "no invoice expired early": _early,
        "no late word changes anything": _late,
        "webhooks in order": _webhooks,
        "the stream in order": _stream,
        "prompt where nothing is wrong": _prompt,
        "the stream is told soon": _told_soon,
        "the log without a gap": _log,
        "no callback lost": unkept,
        "no payment without its proof": unproven,
        "no payment missed": missed,
        "no error of ours": lambda world: iter(world.errors),
    }
    found = [] if at_rest else ["no invoice stuck: not at rest"]
    return found + [f"{promise}: {what}" for promise, check in checks.items() for what in check(world)]


def _rows(world: Any, query: str) -> list[Any]:
    return world.engine.rows(query)  # type: ignore[no-any-return]


def _lost(world: Any) -> Iterator[str]:
    there = {order for (order,) in _rows(world, "SELECT order_id FROM invoice")}
    yield from (f"{order}: published, and in no row" for order in sorted(world.plan.orders.keys() - there))
    doubled = _rows(world, "SELECT order_id, count(*) FROM invoice WHERE first_open = 1 GROUP BY 1 HAVING count(*) > 1")
    yield from (f"{order}: {count} open invoices" for order, count in doubled)
    yield from _two_at_once(world)
    for reason, task in _rows(world, "SELECT reason, task FROM rejected_message"):
        allowed = task == "invoices.cancel" or "still open" in reason or "was open" in reason
        if not allowed:
            yield f"a good message was rejected: {reason}"


def _two_at_once(world: Any) -> Iterator[str]:
    """One order has one open invoice at a time, however often it comes."""
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for invoice, order in _rows(world, "SELECT id, order_id FROM invoice ORDER BY id"):
        times = _rows(world, f"SELECT at, status FROM sim_history WHERE invoice_id = '{invoice}' ORDER BY rowid")
        closed = [at for at, status in times if status in ENDED]
        spans[order].append((times[0][0], min(closed, default=float("inf")), invoice))
    for order, its in spans.items():
        its.sort()
        for before, after in pairwise(its):
            if after[0] < before[1]:
                yield f"{order}: {after[2]} was opened while {before[2]} was open"


def _stuck(world: Any) -> Iterator[str]:
    left = f"FROM agenda WHERE stage NOT IN {STANDING} AND NOT {UNHEARD_WATCH}"
    for row in _rows(world, f"SELECT stage, subject, due_at, claims {left}"):
        yield f"left on the agenda: {row}"
    for order, account, status in _rows(world, "SELECT order_id, account, status FROM invoice"):
        held = status == "in_doubt" and (account == "held" or order in world.plan.refused)
        if status not in ENDED and not held:
            yield f"{order}: at rest, and {status}"
    for state, count in _rows(world, "SELECT state, count(*) FROM delivery WHERE state <> 'delivered' GROUP BY 1"):
        yield f"{count} deliveries are {state}"


def _leases(world: Any) -> Iterator[str]:
    now = world.database_now().replace(tzinfo=None)
    for stage, subject, due_at in _rows(world, "SELECT stage, subject, due_at FROM agenda WHERE lease_token NOTNULL"):
        if due_at is None or datetime.fromisoformat(due_at) > now:
            yield f"{stage} {subject}: leased until {due_at}"
    yield from (f"{stage} {subject}: {what}" for stage, subject, what in _rows(world, "SELECT * FROM sim_breach"))
    yield from (f"message {message.id} is held" for message, _ in world.broker.held.values())


def _repeated(world: Any) -> Iterator[str]:
    """A create is called again only after a doubt, or when the provider said that it did not even look."""
    totals = "SELECT order_id, max(account), sum(doubts), count(*) FROM invoice GROUP BY 1"
    rows = {order: (account, doubts, count) for order, account, doubts, count in _rows(world, totals)}
    for order, calls in sorted(world.providers.creates.items()):
        account, doubts, count = rows.get(order, ("?", 0, 0))
        made = sum(not call.unread for call in calls)
        allowed = count + (0 if account == "held" else doubts)
        if made > allowed:
            yield f"{order} ({account}): {made} creates, with {doubts} doubts of {count} invoices"


def _doubts(world: Any) -> Iterator[str]:
    if not world.plan.faults:
        for order, doubts in _rows(world, "SELECT order_id, doubts FROM invoice WHERE doubts > 0"):
            yield f"{order}: {doubts} doubts, and nothing went wrong"


def _contradicting(world: Any) -> Iterator[str]:
    made = world.providers.made
    marked = {mark.order_id for mark in world.plan.marks.values()}  # of those people decide
    query = "SELECT order_id, status, provider_ref, provider, expires_at FROM invoice WHERE provider_ref NOTNULL"
    for order, status, ref, provider, expires_at in _rows(world, query):
        there = made.get(ref)
        if there is None or there.order_id != order:
            yield f"{order}: bound to {ref}, which is not its own"
        elif provider == "zeroxhost" and order not in marked:
            paid = there.fate.paid_after is not None and there.at + there.fate.paid_after <= world.loop.now
            if status == "paid" and not paid:
                yield f"{order}: paid here, not there"
            in_time = paid and there.fate.paid_after < 28 and world.plan.calm_at < there.at + 28
            if in_time and status not in {"paid", "cancelled"} and expires_at is not None:
                yield f"{order}: {status} here, paid in time there"


def _history(world: Any) -> Iterator[str]:
    """Each told change of a row is one event, and each event one legal move; sequences have no gap.

    Two pieces of evidence about one invoice may be judged in one transaction: its row then changes once, by two events.
    """
    told: dict[str, dict[int, str]] = defaultdict(dict)
    for invoice, was, status, old_sequence, sequence in _rows(
        world, "SELECT invoice_id, was, status, old_sequence, sequence FROM sim_history WHERE was NOTNULL"
    ):
        moves = 1 if follows(sequence, old_sequence) else sequence - old_sequence
        if moves < 2 and Status(status) not in TRANSITIONS[Status(was)]:
            yield f"{invoice}: {was} -> {status}"
        if Status(status) in SILENT:
            continue
        if moves < 1:
            yield f"{invoice}: {status} has sequence {sequence} after {old_sequence}"
        told[invoice][sequence] = f"invoice.{status}"
    events: dict[str, dict[int, str]] = defaultdict(dict)
    for invoice, sequence, kind, body in _rows(
        world, "SELECT invoice_id, sequence, type, body FROM event WHERE sequence > 0"
    ):
        events[invoice][sequence] = kind
        data = json.loads(body)["data"]
        was, status = Status(data["previous_status"]), Status(data["status"])
        if kind == CONTRADICTION:
            if was is not status or status in SILENT:
                yield f"{invoice}: a contradiction is told with {was} -> {status}"
        elif kind != f"invoice.{status}" or status not in TRANSITIONS[was]:
            yield f"{invoice}: an event tells of {was} -> {status}"
    for invoice in sorted(told.keys() | events.keys()):
        # A contradiction that was judged in the same transaction as a change, after it, has the row's sequence.
        moves = {_move_of(events[invoice], sequence): kind for sequence, kind in told[invoice].items()}
        if not moves.items() <= events[invoice].items():
            yield f"{invoice}: changed by {told[invoice]}, told {events[invoice]}"
        if not all(follows(after, before) for before, after in pairwise([0, *sorted(events[invoice])])):
            yield f"{invoice}: sequences {events[invoice]}"


def _move_of(events: dict[int, str], sequence: int) -> int:
    """The sequence of the change of status that came last, up to this one."""
    while events.get(sequence) == CONTRADICTION:
        sequence -= 1
    return sequence


def _early(world: Any) -> Iterator[str]:
    """By the database's clock; where that was set, nobody can tell."""
    if world.plan.clock_steps:
        return
    query = (
        "SELECT invoice_id, at, expires_at FROM sim_history"
        " WHERE status = 'expired' AND reason = 'expires_at has passed'"
    )
    for invoice, at, expires_at in _rows(world, query):
        if moment(at).replace(tzinfo=None) < datetime.fromisoformat(expires_at):
            yield f"{invoice}: expired at {at:.3f}, before {expires_at}"


def _late(world: Any) -> Iterator[str]:
    """The row says what its last change said."""
    last = dict(_rows(world, "SELECT invoice_id, status FROM sim_history ORDER BY rowid"))
    for invoice, status, sequence in _rows(world, "SELECT id, status, sequence FROM invoice"):
        told = _rows(world, f"SELECT coalesce(max(sequence), 0) FROM event WHERE invoice_id = '{invoice}'")[0][0]
        if last.get(invoice) != status or told != sequence:
            yield f"{invoice}: is {status} with sequence {sequence}, was last {last.get(invoice)}, told {told}"


def _webhooks(world: Any) -> Iterator[str]:
    ids = {
        event: (subject, sequence)
        for event, subject, sequence in _rows(world, "SELECT id, invoice_id, sequence FROM event")
    }
    seen: dict[str, int] = defaultdict(int)
    for event, subject, sequence in world.receiver.taken:
        if ids.get(event) != (subject, sequence):
            yield f"{event}: received, and in no log"
        if sequence > seen[subject] and not follows(sequence, seen[subject]):
            yield f"{subject}: {sequence} came after {seen[subject]}"
        seen[subject] = max(seen[subject], sequence)
    taken = {event for event, _, _ in world.receiver.taken}
    wanted = {event for event, (_, sequence) in ids.items() if sequence}  # nobody asked for those of no invoice
    yield from (f"{event}: never received" for event in sorted(wanted - taken))


def _stream(world: Any) -> Iterator[str]:
    """Readers of the stream see every event; a repeat may come late, nothing comes early, no old holder writes."""
    entries = world.scripts.stream
    missing = {event for (event,) in _rows(world, "SELECT id FROM event")} - {entry.id for entry in entries}
    yield from (f"{event}: not in the stream" for event in sorted(missing))
    seen: dict[str, int] = defaultdict(int)
    fence = 0
    for entry in entries:
        if entry.fence < fence:
            yield f"{entry.id}: written by a holder whose lease was taken over"
        fence = max(fence, entry.fence)
        if entry.sequence > seen[entry.subject] and not follows(entry.sequence, seen[entry.subject]):
            yield f"{entry.subject}: {entry.sequence} after {seen[entry.subject]}"
        seen[entry.subject] = max(seen[entry.subject], entry.sequence)


def _log(world: Any) -> Iterator[str]:
    """Every event has one position, in its invoice's order; none is missing between two of them. The stream is told of
    none before it has its own."""
    events, placed = _rows(world, "SELECT count(*) FROM event")[0][0], _rows(world, LOG)
    if len(placed) != events:
        yield f"{len(placed)} of {events} events have a position"
    for (below, *_), (above, *_) in pairwise(placed):
        if above != below + 1 and above % POSITION_STEP != 1:  # a restore begins anew, far above
            yield f"no position between {below} and {above}"
    told, seen = {entry.id: entry.at for entry in reversed(world.scripts.stream)}, defaultdict[str, int](int)
    for position, event, subject, sequence, at in placed:
        if sequence and sequence <= seen[subject]:
            yield f"{subject}: {sequence} is at {position}, after {seen[subject]}"
        seen[subject] = sequence
        if at > told.get(event, at):
            yield f"{event}: its position was given after the stream was told"


def _prompt(world: Any) -> Iterator[str]:
    if world.plan.faults:
        return
    query = (
        "SELECT invoice_id, at, (SELECT min(c.at) FROM sim_claim c WHERE c.stage = 'create' AND c.subject = invoice_id)"
        " FROM sim_history WHERE was IS NULL"
    )
    for invoice, at, claimed in _rows(world, query):
        if claimed is not None and claimed - at > PROMPT_SECONDS:
            yield f"{invoice}: taken up after {claimed - at:.2f} s"


def _told_soon(world: Any) -> Iterator[str]:
    """Whatever the clocks say: once nothing goes wrong any more, an event waits for a few seconds."""
    calm_at = max([world.plan.calm_at, *(step[0] for step in world.plan.clock_steps)]) + UNTIL_TAKEN_SECONDS
    for number, at, told_at in _rows(world, "SELECT number, at, told_at FROM sim_told WHERE told_at NOTNULL"):
        if told_at - max(at, calm_at) > SOON_SECONDS:
            yield f"event {number}: written at {at:.1f}, told at {told_at:.1f}"
