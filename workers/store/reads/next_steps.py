"""What happens next to an invoice, when, and why: from its agenda, its events and its deliveries. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from domain.decision import Stage
from domain.event import format_time
from domain.status import Status
from domain.why.causes import waits_for_callback as can_t_be_asked
from workers.store.rows import StoredRow


class Known(Protocol):
    """What is known of an invoice at ``now``: of its events at least those that the stream has not been told, of its
    deliveries those that wait, with their last tries."""

    @property
    def invoice(self) -> StoredRow: ...
    @property
    def now(self) -> datetime: ...
    @property
    def agenda(self) -> Sequence[StoredRow]: ...
    @property
    def events(self) -> Sequence[StoredRow]: ...
    @property
    def deliveries(self) -> Sequence[tuple[StoredRow, Sequence[StoredRow]]]: ...
    @property
    def disabled(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``at`` None: it waits for somebody, as ``why`` says. ``command``: what a person may do about it."""

    what: str  #: create, search, look-up, clock, stream, webhook
    at: datetime | None
    why: str
    command: str | None = None


def next_steps(record: Known) -> list[Step]:
    """The soonest first, what waits for a person last."""
    steps = [*_of_agenda(record), *_held(record), *_unasked(record), *_of_stream(record), *_of_deliveries(record)]
    return sorted(steps, key=lambda step: (step.at is None, step.at or record.now))


def step_fields(step: Step) -> dict[str, object]:
    """A step as JSON."""
    return asdict(step) | {"at": None if step.at is None else format_time(step.at)}


def _of_agenda(record: Known) -> Iterator[Step]:
    for row in record.agenda:
        if row.stage in _REASONS:
            what, why = _REASONS[row.stage](record.invoice, row)
            yield _step(record, row, what, why)


def _step(record: Known, row: StoredRow, what: str, why: str) -> Step:
    if row.due_at is None:
        parked = f"parked: it ended whoever took it up, {row.claims} times"
        return Step(what=what, at=None, why=parked, command="invoices redrive parked")
    if row.lease_token is not None and row.due_at >= record.now:
        return Step(what=what, at=row.due_at, why=f"{why}; a worker is at it now, and has until then")
    return Step(what=what, at=row.due_at, why=why)


def _create(invoice: StoredRow, row: StoredRow) -> tuple[str, str]:
    if invoice.status == Status.IN_DOUBT:
        if invoice.searches is not None and invoice.sought != invoice.doubts:
            return "search", f"the answer of a create is lost: it is looked for, search {invoice.searches + 1}"
        return "create", f"the answer of a create is lost, {_times(invoice.doubts)}: it is created again"
    if invoice.refused_since is not None:
        return "create", f"the account is turned away ({invoice.reason}): it is tried again"
    if invoice.create_tries > 0:
        return "create", f"the provider could not be reached, {_times(invoice.create_tries)}"
    if invoice.create_tries < 0:
        return "create", f"the provider asked us to wait, {_times(-invoice.create_tries)}"
    return "create", "it waits for its turn"


def _look_up(invoice: StoredRow, row: StoredRow) -> tuple[str, str]:
    if invoice.called_status:
        return "look-up", f"a callback says {invoice.called_word}, which no look-up has confirmed yet"
    if invoice.status in _WATCHED_FOR:
        return "look-up", f"for {_WATCHED_FOR[invoice.status]}"
    quiet = f", {_times(invoice.quiet_polls)} without news so far" if invoice.quiet_polls else ""
    return "look-up", f"the regular one{quiet}"


def _clock(invoice: StoredRow, row: StoredRow) -> tuple[str, str]:
    return "clock", _TIMES.get(invoice.status, "a due time of it")


_REASONS = {Stage.CREATE.value: _create, Stage.CHECK.value: _look_up, Stage.CLOCK.value: _clock}
_WATCHED_FOR = {
    Status.CONFIRMING.value: "the confirmations of its payment",
    Status.EXPIRED.value: "a late payment",
    Status.PAID.value: "a refund",
}
_TIMES = {
    Status.QUEUED.value: "it fails then, if it is not made before",
    Status.PENDING.value: "it expires then, unless it is paid before",
    Status.PARTIALLY_PAID.value: "it expires then, unless the rest is paid before",
    Status.CONFIRMING.value: "it is watched until then",
    Status.EXPIRED.value: "a late payment counts until then",
    Status.PAID.value: "the next look for a refund",
}


def _held(record: Known) -> Iterator[Step]:
    if record.invoice.status == Status.IN_DOUBT and not any(row.stage == Stage.CREATE for row in record.agenda):
        why = f"the answer of a create is lost, {_times(record.invoice.doubts)}: a person decides"
        yield Step(what="create", at=None, why=why, command=f"invoices redrive doubt {record.invoice.id}")


def _unasked(record: Known) -> Iterator[Step]:
    if waits_for_callback(record):
        yield Step(what="look-up", at=None, why="it can't be asked about until a callback brings what to ask by")


def waits_for_callback(record: Known) -> bool:
    """Whether a watched invoice can't be asked about until a callback comes."""
    return can_t_be_asked(record.invoice, {row.stage for row in record.agenda})


def _of_stream(record: Known) -> Iterator[Step]:
    waiting = [event for event in record.events if event.published_at is None]
    if waiting:
        since = format_time(waiting[0].created_at)
        yield Step(what="stream", at=None, why=f"{waiting[0].type} is not on the stream yet, since {since}")


def _of_deliveries(record: Known) -> Iterator[Step]:
    """The oldest unfinished one of each endpoint; the others wait for it."""
    first: dict[str, tuple[StoredRow, StoredRow | None]] = {}
    for delivery, tries in sorted(record.deliveries, key=lambda pair: pair[0].sequence):
        if delivery.state == "due" and delivery.endpoint_id not in first:
            first[delivery.endpoint_id] = delivery, tries[-1] if tries else None
    for endpoint, (delivery, last) in first.items():
        if endpoint in record.disabled:
            command = f"invoices endpoints enable {endpoint}"
            why = f"{delivery.type} to {endpoint}: the endpoint is disabled"
            yield Step(what="webhook", at=None, why=why, command=command)
            continue
        tried = f"tried {_times(delivery.tries)}" if delivery.tries else "not tried yet"
        came = "" if last is None else f", at last: {last.error or last.outcome}"
        why = f"{delivery.type} to {endpoint}, {tried}{came}"
        yield Step(what="webhook", at=delivery.next_try_at, why=why)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
