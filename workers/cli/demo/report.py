"""The summary: what the database, the receiver, the stream and the sandbox say, compared with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import redis

from domain.event import NAMED_ONLY
from domain.exact_json import read_json
from domain.status import OPEN, Status
from workers.cli.demo.orders import CALLED_BACK
from workers.store.queries import (
    callback_digests,
    count_by_status,
    count_events,
    count_rejected,
    every_event,
    every_invoice,
)

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.cli.demo.orders import DemoOrder
    from workers.cli.demo.stand import Stand
    from workers.store.database import Database


@dataclass(slots=True)
class Written:
    """What the database's events say."""

    ids: set[str] = field(default_factory=set)
    for_receiver: int = 0  #: how many of them the receiver is sent
    last: dict[str, int] = field(default_factory=dict)  #: sequence, by invoice
    gaps: int = 0
    paid_in_part: set[str] = field(default_factory=set)  #: ids of invoices


class Ended(Protocol):
    """An invoice as it ended."""

    id: str
    status: str
    anomaly: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to hold."""

    what: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the demo is. ``waiting``: events that the stream or the receiver does not have yet."""

    counts: dict[str, int]
    events: int
    waiting: int
    rejected: int

    def has_begun(self) -> bool:
        """Whether a provider's answer to the first order is stored."""
        return any(count for status, count in self.counts.items() if status != Status.QUEUED)

    def is_over(self, orders: int, paid: int = 0) -> bool:
        """Whether every order has ended or was turned away, and the stream and the receiver know.

        ``paid``: how many are to be paid in the end, some of them after they expired.
        """
        running = sum(self.counts.get(status, 0) for status in OPEN)
        if running or self.waiting or self.counts.get(Status.PAID, 0) < paid:
            return False
        return sum(self.counts.values()) + self.rejected >= orders


@dataclass(frozen=True, slots=True)
class Report:
    """How it ended."""

    counts: dict[str, int]
    seconds: float
    checks: list[Check] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all of it holds."""
        return all(check.holds for check in self.checks)


def look(database: Database) -> Progress:
    """How far the demo is, from SQL."""
    counts = database.read(count_by_status)
    written, waiting = database.read(count_events)
    return Progress(counts, written, waiting, database.read(count_rejected))


def reckon(stand: Stand, orders: Sequence[DemoOrder], seconds: float) -> Report:
    """Compare everything with everything else."""
    receiver, calls, posted = stand.receiver(), stand.calls(), stand.callbacks()
    ended = {row.order_id: row for row in stand.database.read(every_invoice)}
    kept = Counter(stand.database.read(callback_digests))
    written, on_stream = _read_events(stand.database), _read_stream(stand.config)
    return Report(
        counts=dict(Counter(row.status for row in ended.values())),
        seconds=seconds,
        checks=[
            _check_ends(orders, ended),
            _check_events(written, receiver, on_stream),
            _check_signatures(receiver),
            _check_sequences(written, receiver),
            _check_calls(orders, calls),
            *(_check_called_back(name, orders, ended, written.paid_in_part) for name in CALLED_BACK),
            _check_callbacks(posted, kept),
            _check_forged(posted, kept),
        ],
    )


def _read_events(database: Database) -> Written:
    written = Written()
    for event in database.read(every_event):
        written.ids.add(event.id)
        written.for_receiver += event.type not in NAMED_ONLY
        if event.type == "invoice.partially_paid":
            written.paid_in_part.add(event.invoice_id)
        if event.sequence:
            written.gaps += event.sequence != written.last.get(event.invoice_id, 0) + 1
            written.last[event.invoice_id] = event.sequence
    return written


def _check_sequences(written: Written, receiver: dict[str, Any]) -> Check:
    gaps, out_of_order = written.gaps + receiver["gaps"], receiver["out_of_order"]
    detail = f"{len(written.last)} invoices, {gaps} gaps, {out_of_order} out of order"
    return Check("sequences have no gaps and no disorder", not gaps and not out_of_order, detail)


def _check_signatures(receiver: dict[str, Any]) -> Check:
    return Check(
        "every signature is valid",
        not receiver["invalid"] and receiver["valid"] > 0,
        f"{receiver['valid']} valid, {receiver['invalid']} not; {receiver['faulted']} refused on purpose",
    )


def _check_ends(orders: Sequence[DemoOrder], ended: Mapping[str, Ended]) -> Check:
    wrong = []
    for order in orders:
        found = ended.get(order.fields["order_id"])
        if found is None or found.status != order.kind.ends or order.kind.anomaly not in {None, found.anomaly}:
            status = found.status if found else "missing"
            due = " ".join(word for word in (order.kind.ends, order.kind.anomaly) if word)
            wrong.append(f"{order.fields['order_id']} ({order.kind.what}) is {status}, not {due}")
    detail = "; ".join(wrong[:3]) or ", ".join(f"{n} {s}" for s, n in Counter(o.kind.ends for o in orders).items())
    return Check("every order ended as it had to", not wrong, detail)


def _check_events(written: Written, receiver: dict[str, Any], on_stream: set[str]) -> Check:
    """`provider.drift`, which an odd callback causes, is on the stream, and goes only to endpoints that name it."""
    count, others = len(written.ids), len(written.ids) - written.for_receiver
    only = f" ({others} not for it)" if others else ""
    detail = f"{count} written, {receiver['unique']} received{only}, {len(on_stream)} on the stream"
    holds = written.for_receiver == receiver["unique"] and written.ids == on_stream
    return Check("events written = received = on the stream", holds, detail)


def _check_calls(orders: Sequence[DemoOrder], calls: Sequence[dict[str, Any]]) -> Check:
    """An order is created once, and again only when its answer was lost or the provider asked to wait."""
    made = Counter(call["order_id"] for call in calls)
    wrong = [order for order in orders if made[order.sandbox_id] != order.kind.calls]
    repeated = sum(order.kind.calls > 1 for order in orders)
    detail = f"{sum(made.values())} creates for {len(orders)} orders, {repeated} of them with a fault that asks for two"
    if wrong:
        first = wrong[0]
        detail = f"{first.sandbox_id} was created {made[first.sandbox_id]} times, not {first.kind.calls}"
    return Check("no order was created more often than needed", not wrong, detail)


def _check_called_back(name: str, orders: Sequence[DemoOrder], ended: Mapping[str, Ended], partly: set[str]) -> Check:
    """Callbacks must arrive and be understood: some providers can be asked only by what a callback brings."""
    due = [order for order in orders if order.account == name and order.kind.ends == Status.PAID]
    found = [ended[order.fields["order_id"]] for order in due if order.fields["order_id"] in ended]
    paid = [row for row in found if row.status == Status.PAID]
    late, parts = sum(row.anomaly == "late" for row in paid), sum(row.id in partly for row in paid)
    detail = f"{len(paid)} of {len(due)}; {late} of them late, {parts} partly at first"
    return Check(f"{CALLED_BACK[name]} orders were paid by its callbacks", len(paid) == len(due), detail)


def _check_callbacks(posted: dict[str, Any], kept: Counter[str]) -> Check:
    """What was answered is kept once, and nothing else is kept."""
    digests = {one["digest"] for one in posted["callbacks"] if one["ended"] == "answered"}
    holds = posted["sent"] == posted["answered"] and digests == kept.keys() and kept.total() == len(kept)
    repeats = posted["answered"] - len(digests)
    detail = f"{posted['sent']} sent, {posted['answered']} answered, {repeats} of them repeats, {kept.total()} kept"
    lost = f"; {posted['lost']} never came" if posted["lost"] else ""
    return Check("callbacks sent = answered = kept", holds, detail + lost)


def _check_forged(posted: dict[str, Any], kept: Counter[str]) -> Check:
    forged = [one for one in posted["callbacks"] if one["forged"]]
    taken = [one for one in forged if one["digest"] in kept or one["status"] != 401]
    holds = posted["forged"] == posted["forged_refused"] == len(forged) and not taken
    detail = f"{posted['forged']} forged, {posted['forged_refused']} refused"
    return Check("forged callbacks were refused, none counted", holds, detail)


def _read_stream(config: Settings) -> set[str]:
    """The ids of the events on the Redis stream."""
    ids: set[str] = set()
    start = "-"
    with redis.Redis.from_url(config.redis_url) as client:
        while True:
            entries: Any = client.xrange(config.stream, min=start, count=1000)
            ids |= {read_json(fields[b"event"])["id"] for _, fields in entries}
            if len(entries) < 1000:
                return ids
            start = f"({entries[-1][0].decode()}"
