"""The auditor: compares what was sent, what the providers saw, what the tables hold, what receiver and stream got."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.checked import ENDED, follows
from tests.acceptance.messages import INTAKE_QUEUE
from tests.acceptance.system import System
from tests.chaos.callers import Told, unkept, unpaid
from tests.chaos.doubts import Causes, early, unexplained
from tests.chaos.markers import Markers, undone_marks
from tests.chaos.plan import CANCEL, CREATE, HOLD_ACCOUNT
from tests.chaos.receivers import BAD_ENDPOINTS, dropped, untold
from tests.chaos.restored import Before, periods

_NAMED, _ALREADY = re.compile(r"order_id '([^']+)'"), re.compile(r"is already (\w+)$")
#: Celery's own words, in worker and beat.
_BROKER_AWAY = re.compile(
    r'"consumer: Cannot connect to .*Trying again|"beat: Connection error: .*Trying again'
    r'|"Message Error: Couldn\'t apply scheduled task sweep: .*"exc_type": "SchedulingError"'
)
_MISSING = re.compile(r"there is no such invoice$")
#: A cancellation looks for its order for 2 s; a row that comes in after the last look is older than the refusal.
PATIENCE = timedelta(seconds=1)
STANDING = "('publish', 'retain')"
#: Rows that are to come to an end: neither those that never do nor those of bad receivers.
ENDING = f"stage NOT IN {STANDING} AND NOT (stage = 'deliver' AND lane IN ({BAD_ENDPOINTS}))"
TO_DELIVER = f"endpoint_id NOT IN ({BAD_ENDPOINTS})"
#: A broker that is killed may take with it what it confirmed within this time: it writes once in a turn of its loop.
BROKER_LOSS_SECONDS = 3.0
UNACKED = "invoices.unacked"
#: What must be empty at rest: orders, what could be neither stored nor listed, callbacks.
QUEUES = (INTAKE_QUEUE, "invoices.unstored", "invoices.callbacks")
#: How long an expired invoice is watched in a campaign.
MONITOR_SECONDS = 60.0
#: A callback may wait in the broker, or a commit be under way, for so long before what kept it is gone.
UNDER_WAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A breach of a promise."""

    promise: str
    what: str


Times = tuple[float, float]  #: monotonic: when a publishing began, and when the broker had confirmed it


@dataclass(slots=True)
class Sent:
    """What producers were told is taken, and what was in a broker that was emptied."""

    at: dict[str, Times] = field(default_factory=dict)  #: by order id
    cancellations: dict[str, Times] = field(default_factory=dict)  #: by order id
    flushes: list[Times] = field(default_factory=list)  #: the emptying was at some moment between these
    flushed: set[tuple[str, str]] = field(default_factory=set)  #: (task, order id) in the broker when it was emptied
    flushed_stream: list[dict[str, Any]] = field(default_factory=list)  #: the stream's entries at that moment
    broker_kills: list[float] = field(default_factory=list)
    restores: list[Before] = field(default_factory=list)  #: the database was put back to a backup
    forgiven: Counter[str] = field(default_factory=Counter)  #: doubts that a redrive struck off the row, by order id
    over_http: dict[str, float] = field(default_factory=dict)  #: order id -> epoch seconds when it was answered 202
    refused: list[str] = field(default_factory=list)  #: what good orders were answered over HTTP

    def note(self, task: str, order_ids: list[str], began: float) -> None:
        """The broker has confirmed these; the first time counts."""
        times = (began, time.monotonic())
        for order_id in order_ids:
            self._of(task).setdefault(order_id, times)

    def note_over_http(self, order_id: str, began: float) -> None:
        """It was answered 202 or 200: the database has it, and no broker is an excuse."""
        self.over_http.setdefault(order_id, time.time())
        self.note(CREATE, [order_id], began)

    def emptied(self, lost: set[str], task: str = CREATE) -> set[str]:
        """In the broker when it was emptied, or just being published: kombu then drops it, its queue is forgotten."""
        times = self._of(task)
        lost = lost if task == CANCEL else lost - self.over_http.keys()
        between = {o for o in lost if any(times[o][0] <= end and begin <= times[o][1] for begin, end in self.flushes)}
        return {order for order in lost if (task, order) in self.flushed} | between

    def excused_by_broker_kill(self, lost: set[str], task: str = CREATE) -> set[str]:
        """Confirmed right before the broker was killed."""
        times = self._of(task)
        return {
            order
            for order in lost - self.emptied(lost, task) - self.undone(lost, task)
            if (task == CANCEL or order not in self.over_http)
            and any(0 <= kill - times[order][1] <= BROKER_LOSS_SECONDS for kill in self.broker_kills)
        }

    def forgetful(self) -> list[tuple[float, float]]:
        """Epoch seconds between which what was answered may be gone: with an emptied or killed broker, or a database
        that was put back."""
        gone = [end for _, end in self.flushes] + self.broker_kills
        now, monotonic = time.time(), time.monotonic()
        broker = [(at - monotonic + now - UNDER_WAY_SECONDS, at - monotonic + now) for at in gone]
        return broker + [(0.0, before.at) for before in self.restores]

    def gone(self) -> set[str]:
        """Orders that were there when the database was put back. Made again they have another invoice of the provider's
        than the one whose payment may be told."""
        return set().union(*(before.invoices for before in self.restores))

    def undone(self, orders: set[str], task: str = CREATE) -> set[str]:
        """Those whose message had been answered in the database that was put back: the answer is gone with it."""
        done = (before.answered if task == CANCEL else before.invoices.keys() for before in self.restores)
        just = {o for o, at in self.over_http.items() if any(0 <= before.at - at <= 10 for before in self.restores)}
        return orders & (set().union(*done) | (set() if task == CANCEL else just))

    def undone_events(self) -> set[str]:
        """Events of a log that was put back."""
        return set().union(*(before.events for before in self.restores))

    def _of(self, task: str) -> dict[str, Times]:
        return self.cancellations if task == CANCEL else self.at


def unfinished(system: System) -> dict[str, int]:
    """What still waits for something, by kind; empty at rest."""
    client = system.redis
    counts = {
        "agenda": _count(system, f"agenda WHERE due_at IS NOT NULL AND {ENDING}"),
        "untold": _count(system, "event WHERE published_at IS NULL"),
        "deliveries": _count(system, f"delivery WHERE state = 'due' AND {TO_DELIVER}"),
        "messages": sum(client.llen(key) for name in QUEUES for key in client.keys(f"{name}*")),
        # Bells are in the same hash for a moment, for as long as anybody runs.
        "unacknowledged": sum(INTAKE_QUEUE.encode() in record for record in client.hvals(UNACKED)),
    }
    return {name: count for name, count in counts.items() if count}


def parked(system: System) -> int:
    """Rows whose holders died five times in a row. They wait for an operator: that much is documented."""
    return _count(system, f"agenda WHERE due_at IS NULL AND lease_token IS NULL AND {ENDING}")


def _count(system: System, rest: str) -> int:
    return int(system.rows(f"SELECT count(*) AS n FROM {rest}")[0]["n"])


def untaken_cancellations(system: System, sent: Sent) -> set[str]:
    """Orders whose cancellation neither closed them nor was turned away."""
    return sent.cancellations.keys() - answered_cancellations(system)


def answered_cancellations(system: System) -> set[str]:
    """Orders whose cancellation closed them or was turned away."""
    return _cancelled(system) | _turned_away(system).keys()


def audit(
    system: System, sent: Sent, lost: set[str], untaken: set[str], causes: Causes, told: Told, people: Markers
) -> list[Finding]:
    """Every breach. ``lost``, ``untaken``: as things stood before all was published again."""
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "no order lost": lambda: _lost(system, sent, lost),
        "no cancellation lost": lambda: _uncancelled(
            system, sent, untaken, PATIENCE + timedelta(seconds=causes.slack_seconds)
        ),
        "no invoice stuck": lambda: _stuck(system),
        "no lease kept": lambda: _leases(system),
        "no provider call repeated": lambda: _repeated(system, sent),
        "no callback lost": lambda: unkept(system, told, sent.forgetful()),
        "what was told as paid is paid": lambda: unpaid(system, told, sent.forgetful(), MONITOR_SECONDS, sent.gone()),
        "no doubt without a fault": lambda: unexplained(system, causes),
        "nothing expires early": lambda: early(system, _made(system), causes.slack_seconds),
        "the truth of the provider": lambda: _contradicting(system, people.asked),
        "what was marked stays so": lambda: undone_marks(system, people, [before.at for before in sent.restores]),
        "no gap in the log": lambda: _gaps(system),
        "no webhook missing or out of order": lambda: untold(system, sent.undone_events()),
        "nothing dropped that waits for a bad receiver": lambda: dropped(system),
        "no stream entry missing or ahead": lambda: _stream(system, sent),
        "no error of ours": lambda: _errors(system),
    }
    return [Finding(promise, what) for promise, check in checks.items() for what in check()]


def _lost(system: System, sent: Sent, lost: set[str]) -> Iterator[str]:
    for order in sorted(lost - sent.emptied(lost) - sent.excused_by_broker_kill(lost) - sent.undone(lost)):
        by = "answered 202" if order in sent.over_http else "confirmed by the broker, not in the emptied one"
        yield f"{order}: {by}, and without a row"
    yield from (f"a good order was refused over HTTP: {one}" for one in sent.refused)
    for order in sorted(set(sent.at) - system.invoices().keys()):
        yield f"{order}: no row even after it was published again"
    for row in system.rows("SELECT reason FROM rejected_message WHERE task IS NULL OR task <> :task", task=CANCEL):
        yield f"a good message was rejected: {row['reason']}"


def _uncancelled(system: System, sent: Sent, untaken: set[str], patience: timedelta) -> Iterator[str]:
    """A confirmed cancellation closes its order; else it says why not, and that is true. ``patience``: so much older
    than a refusal that did not find it may an order be."""
    excused = sent.emptied(untaken, CANCEL) | sent.excused_by_broker_kill(untaken, CANCEL)
    for order in sorted(untaken - excused - sent.undone(untaken, CANCEL)):
        yield f"{order}: its cancellation was confirmed by the broker, and nothing came of it"
    yield from (f"{order}: not cancelled even by the second message" for order in untaken_cancellations(system, sent))
    invoices = system.invoices()
    for order, reasons in _turned_away(system).items():
        row = invoices.get(order)
        for reason, at in reasons:
            said = _ALREADY.search(reason)
            if said is None and not _MISSING.search(reason):
                yield f"{order}: cancellation turned away: {reason}"
            elif said is not None and row is not None and not _had_ended(row["status"], said[1]):
                yield f"{order}: said to be {said[1]}, and is {row['status']}"
            elif said is None and row is not None and as_time(row["created_at"]) < at - patience:
                yield f"{order}: said to be missing at {at}, and is there since {row['created_at']}"
    for order in sorted(_cancelled(system) - sent.cancellations.keys()):
        yield f"{order}: cancelled, and nobody asked for it"


def _had_ended(status: str, said: str) -> bool:
    """Whether an invoice that had that status may have this one now: who has expired may still be paid."""
    return said in ENDED and (status == said or (said == "expired" and status in {"paid", "confirming"}))


def _cancelled(system: System) -> set[str]:
    return {order for order, row in system.invoices().items() if row["status"] == "cancelled"}


def _turned_away(system: System) -> dict[str, list[tuple[str, datetime]]]:
    """Why cancellations were turned away, by order."""
    found: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for row in system.rows("SELECT reason, at FROM rejected_message WHERE task = :task", task=CANCEL):
        named = _NAMED.search(row["reason"])
        found[named[1] if named else "?"].append((row["reason"], as_time(row["at"])))
    return found


def _stuck(system: System) -> Iterator[str]:
    for row in system.rows(f"SELECT * FROM agenda WHERE {ENDING}"):
        yield f"{row['stage']} {row['subject']}: due {row['due_at']}, claims {row['claims']}"
    for order_id, row in system.invoices().items():
        held = row["status"] == "in_doubt" and row["account"] == HOLD_ACCOUNT
        if row["status"] not in ENDED and not held:
            yield f"{order_id}: at rest, and {row['status']} ({row['doubts']} doubts)"
    unsent = f"SELECT state, count(*) AS n FROM delivery WHERE state <> 'delivered' AND {TO_DELIVER} GROUP BY state"
    for row in system.rows(unsent):
        yield f"{row['n']} deliveries are {row['state']}"


def _leases(system: System) -> Iterator[str]:
    now = datetime.now(UTC)  # the auditor's clock is the database's: they share a host
    for row in system.rows("SELECT * FROM agenda WHERE lease_token IS NOT NULL"):
        if row["due_at"] is None or as_time(row["due_at"]) > now + timedelta(seconds=60):
            yield f"{row['stage']} {row['subject']}: leased until {row['due_at']}"
    for kind, count in unfinished(system).items():
        if kind in {"messages", "unacknowledged"}:
            yield f"{count} {kind} in the broker"


def _repeated(system: System, sent: Sent) -> Iterator[str]:
    """A create is called again only after a doubt, or when the provider said that it did not even look."""
    for period in periods(system, sent.restores):
        calls = [call for call in system.calls() if period.since < float(call["at"]) <= period.until]
        unread = Counter(_bare(call["order_id"]) for call in calls if call["status"] == 429)
        rows = {_bare(order_id): row for order_id, row in period.invoices.items()}
        for order, made in sorted(Counter(_bare(call["order_id"]) for call in calls).items()):
            row = rows.get(order)
            if row is None:
                yield f"{order}: a create for an order that is in no row"
                continue
            doubts = row["doubts"] + sent.forgiven[row["order_id"]]
            allowed = 1 + unread[order] + (0 if row["account"] == HOLD_ACCOUNT else doubts)
            if made > allowed:
                why = f"{doubts} doubts, {unread[order]} times 429"
                yield f"{order} ({row['account']}): {made} creates with {why}"


def _contradicting(system: System, marked: set[str]) -> Iterator[str]:
    """Paid there is paid here, or a person was told that it came after the watch, for the invoice that is bound, unless
    people decided; and nobody else's is bound."""
    made = _made(system)
    bound: Counter[tuple[str, str]] = Counter()
    for order_id, row in system.invoices().items():
        if row["provider_ref"] is None:
            continue
        provider = "nebulox" if row["provider_account"] == "nebulox" else "zeroxhost"
        key = (provider, str(row["provider_ref"]))
        bound[key] += 1
        there = made.get(key)
        if there is None:
            yield f"{order_id}: bound to {key}, which nobody made"
        elif _bare(there["order_id"]) != _bare(order_id):
            yield f"{order_id}: bound to the invoice of {there['order_id']}"
        elif (
            provider == "zeroxhost"
            and order_id not in marked
            and row["status"] != "cancelled"
            and not (row["status"] == "expired" and "status" in (row["contradicted"] or ""))
            and (there["status"] == "paid") != (row["status"] == "paid")
        ):
            yield f"{order_id}: {row['status']} here, {there['status']} there"
    yield from (f"{key} is bound {count} times" for key, count in bound.items() if count > 1)


def _made(system: System) -> dict[tuple[str, str], dict[str, Any]]:
    """The providers' own invoices, by provider and reference."""
    return {(one["provider"], str(one["ref"])): one for one in system.control("invoices?limit=0")["invoices"]}


def _gaps(system: System) -> Iterator[str]:
    try:
        system.check_history()
    except AssertionError as error:
        yield f"history: {str(error)[:500]}"


def _stream(system: System, sent: Sent) -> Iterator[str]:
    """Readers of the stream see every event; a repeat may come late, nothing comes early."""
    entries = [*sent.flushed_stream, *system.stream()]
    missing = {told["id"] for told in system.events()} - {entry["id"] for entry in entries}
    yield from (f"{event}: not in the stream" for event in sorted(missing))
    seen: dict[str, int] = defaultdict(int)
    for entry in entries:
        if "sequence" not in entry:
            continue  # of no invoice
        subject, sequence = entry["subject"], int(entry["sequence"])
        if sequence > seen[subject] and not follows(sequence, seen[subject]):
            yield f"{subject}: {sequence} after {seen[subject]}"
        seen[subject] = max(seen[subject], sequence)


def _errors(system: System) -> Iterator[str]:
    """Lines that speak of a bug. Celery calls an outage of the broker an error; ours are warnings."""
    errors = {line for line in system.log_lines() if '"level": "error"' in line and not _BROKER_AWAY.search(line)}
    yield from sorted({line[:300] for line in errors})[:10]


def as_time(value: Any) -> datetime:
    """A time as PostgreSQL gives it, or the text that SQLite keeps."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _bare(order_id: str) -> str:
    return order_id.partition("~")[0]
