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
from domain.why.sentence import Sentence, say
from domain.why.words import times
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
    why: Sentence
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


def _step(record: Known, row: StoredRow, what: str, why: Sentence) -> Step:
    if row.due_at is None:
        parked = say("parked: it ended whoever took it up, {number} times", number=row.claims)
        return Step(what=what, at=None, why=parked, command="invoices redrive parked")
    if row.lease_token is not None and row.due_at >= record.now:
        at_it = say("{why}; a worker is at it now, and has until then", why=why)
        return Step(what=what, at=row.due_at, why=at_it)
    return Step(what=what, at=row.due_at, why=why)


def _create(invoice: StoredRow, row: StoredRow) -> tuple[str, Sentence]:
    if invoice.status == Status.IN_DOUBT:
        if invoice.searches is not None and invoice.sought != invoice.doubts:
            number = invoice.searches + 1
            return "search", say("the answer of a create is lost: it is looked for, search {number}", number=number)
        doubts = times(invoice.doubts)
        return "create", say("the answer of a create is lost, {times}: it is created again", times=doubts)
    if invoice.refused_since is not None:
        reason = str(invoice.reason)
        return "create", say("the account is turned away ({reason}): it is tried again", reason=reason)
    if invoice.create_tries > 0:
        return "create", say("the provider could not be reached, {times}", times=times(invoice.create_tries))
    if invoice.create_tries < 0:
        return "create", say("the provider asked us to wait, {times}", times=times(-invoice.create_tries))
    return "create", say("it waits for its turn")


def _look_up(invoice: StoredRow, row: StoredRow) -> tuple[str, Sentence]:
    if invoice.called_status:
        word = str(invoice.called_word)
        return "look-up", say("a callback says {word}, which no look-up has confirmed yet", word=word)
    if invoice.status in _WATCHED_FOR:
        return "look-up", _WATCHED_FOR[invoice.status]
    if invoice.quiet_polls:
        return "look-up", say("the regular one, {times} without news so far", times=times(invoice.quiet_polls))
    return "look-up", say("the regular one")


def _clock(invoice: StoredRow, row: StoredRow) -> tuple[str, Sentence]:
    return "clock", _TIMES.get(invoice.status) or say("a due time of it")


_REASONS = {Stage.CREATE.value: _create, Stage.CHECK.value: _look_up, Stage.CLOCK.value: _clock}
_WATCHED_FOR = {
    Status.CONFIRMING.value: say("for the confirmations of its payment"),
    Status.EXPIRED.value: say("for a late payment"),
    Status.PAID.value: say("for a refund"),
}
_TIMES = {
    Status.QUEUED.value: say("it fails then, if it is not made before"),
    Status.PENDING.value: say("it expires then, unless it is paid before"),
    Status.PARTIALLY_PAID.value: say("it expires then, unless the rest is paid before"),
    Status.CONFIRMING.value: say("it is watched until then"),
    Status.EXPIRED.value: say("a late payment counts until then"),
    Status.PAID.value: say("the next look for a refund"),
}


def _held(record: Known) -> Iterator[Step]:
    if record.invoice.status == Status.IN_DOUBT and not any(row.stage == Stage.CREATE for row in record.agenda):
        doubts = times(record.invoice.doubts)
        why = say("the answer of a create is lost, {times}: a person decides", times=doubts)
        yield Step(what="create", at=None, why=why, command=f"invoices redrive doubt {record.invoice.id}")


def _unasked(record: Known) -> Iterator[Step]:
    if waits_for_callback(record):
        why = say("it can't be asked about until a callback brings what to ask by")
        yield Step(what="look-up", at=None, why=why)


def waits_for_callback(record: Known) -> bool:
    """Whether a watched invoice can't be asked about until a callback comes."""
    return can_t_be_asked(record.invoice, {row.stage for row in record.agenda})


def _of_stream(record: Known) -> Iterator[Step]:
    waiting = [event for event in record.events if event.published_at is None]
    if waiting:
        since = format_time(waiting[0].created_at)
        why = say("{type} is not on the stream yet, since {since}", type=waiting[0].type, since=since)
        yield Step(what="stream", at=None, why=why)


def _of_deliveries(record: Known) -> Iterator[Step]:
    """The oldest unfinished one of each endpoint; the others wait for it."""
    first: dict[str, tuple[StoredRow, StoredRow | None]] = {}
    for delivery, tries in sorted(record.deliveries, key=lambda pair: pair[0].sequence):
        if delivery.state == "due" and delivery.endpoint_id not in first:
            first[delivery.endpoint_id] = delivery, tries[-1] if tries else None
    for endpoint, (delivery, last) in first.items():
        if endpoint in record.disabled:
            command = f"invoices endpoints enable {endpoint}"
            why = say("{type} to {endpoint}: the endpoint is disabled", type=delivery.type, endpoint=endpoint)
            yield Step(what="webhook", at=None, why=why, command=command)
            continue
        tried = say("tried {times}", times=times(delivery.tries)) if delivery.tries else say("not tried yet")
        came = "" if last is None else say(", at last: {answer}", answer=last.error or last.outcome)
        parts = {"type": delivery.type, "endpoint": endpoint, "tried": tried, "came": came}
        why = say("{type} to {endpoint}, {tried}{came}", **parts)
        yield Step(what="webhook", at=delivery.next_try_at, why=why)
