"""Events sent once more: one by its id, or an endpoint's by type and time, as a job of small transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from domain.decision import Stage
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.database import Database
from workers.store.endpoints import find_endpoint
from workers.store.replay import (
    BATCH,
    Choice,
    Chosen,
    choose,
    choose_of_invoice,
    endpoints_of,
    find_event,
    is_for,
    replay,
    set_aside,
)
from workers.store.store import Store

#: Events a job.
MOST_EVENTS = 10_000


class NoSuchEndpoint(LookupError):  # noqa: N818 - reads as what happened
    """No endpoint has this id."""


class NoSuchEvent(LookupError):  # noqa: N818 - reads as what happened
    """No event has this id."""


class NotForEndpoint(ValueError):  # noqa: N818 - reads as what happened
    """The endpoint is limited to other accounts than the event's."""


class TooManyEvents(ValueError):  # noqa: N818 - reads as what happened
    """More events than one job may send."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be sent to one endpoint."""

    choice: Choice
    disabled: bool  #: then the events wait until the endpoint is enabled
    events: Sequence[Chosen]
    event_id: str | None = None  #: of a single event that was chosen by its id
    invoice_id: str | None = None  #: if all are one invoice's


def plan_one(store: Store, event_id: str, endpoint_id: str | None = None, *, dead_only: bool = False) -> list[Job]:
    """One event, to this endpoint or to each that it was meant for. Raises NoSuchEvent, NoSuchEndpoint,
    NotForEndpoint."""
    event = store.database.read(find_event, event_id)
    if event is None:
        raise NoSuchEvent(event_id)
    if endpoint_id is not None and not store.database.read(is_for, endpoint_id, event):
        raise NotForEndpoint(f"{endpoint_id} is limited to other accounts than that of {event_id}")
    ids = [endpoint_id] if endpoint_id is not None else store.database.read(endpoints_of, event)
    return [Job(Choice(one, dead_only=dead_only), _is_disabled(store, one), [event], event_id) for one in ids]


def plan(store: Store, choice: Choice) -> Job:
    """An endpoint's events. Raises ValueError for a wrong choice, NoSuchEndpoint, TooManyEvents."""
    choice.check()
    disabled = _is_disabled(store, choice.endpoint_id)
    events = store.database.read(choose, choice, limit=MOST_EVENTS + 1)
    if len(events) > MOST_EVENTS:
        raise TooManyEvents(f"these are more than {MOST_EVENTS:,} events, the most that one job may send")
    return Job(choice, disabled, events)


def run(store: Store, actor: Actor, job: Job, advance: Callable[[int], None] = lambda _: None) -> int:
    """Make them due; returns how many. ``advance`` is called after each batch with its number of events.

    In small transactions, so that nobody waits long. If this is cut short, the rest can be replayed.
    """
    count, choice, database = 0, job.choice, store.database
    for start in range(0, len(job.events), BATCH):
        batch = job.events[start : start + BATCH]
        with database.transaction() as connection:
            sent, aside = send(connection, database, choice, batch)
            if sent or aside:
                deed = deed_of(choice, job.event_id, len(job.events), batch, sent, aside, job.invoice_id)
                record(connection, database, actor, [deed])
        count += sent
        advance(len(batch))
    return count


def send(connection: Connection, database: Database, choice: Choice, batch: Sequence[Chosen]) -> tuple[int, int]:
    """Make a batch due as the choice says. Returns how many, and how many older ones were set aside."""
    aside = set_aside(connection, database, choice.endpoint_id, batch) if choice.newest_only and batch else 0
    return replay(connection, database, choice.endpoint_id, batch, dead_only=choice.dead_only), aside


def replay_of_invoice(store: Store, actor: Actor, invoice_id: str, endpoint_id: str, *, only_newest: bool) -> int:
    """Send an invoice's events to an endpoint once more, in their order, or only the newest. Returns how many.

    Those that the endpoint had, and those that its filter lets through. Raises NoSuchEndpoint, NoSuchEvent (there is
    none for it), TooManyEvents.
    """
    if store.database.read(find_endpoint, endpoint_id) is None:
        raise NoSuchEndpoint(endpoint_id)
    events = store.database.read(choose_of_invoice, endpoint_id, invoice_id, MOST_EVENTS + 1)
    if not events:
        raise NoSuchEvent(invoice_id)
    if len(events) > MOST_EVENTS:
        raise TooManyEvents(f"these are more than {MOST_EVENTS:,} events, the most that one job may send")
    chosen = events[-1:] if only_newest else events
    count = run(store, actor, Job(Choice(endpoint_id), disabled=False, events=chosen, invoice_id=invoice_id))
    store.ring({(Stage.DELIVER, endpoint_id)})
    return count


def _is_disabled(store: Store, endpoint_id: str) -> bool:
    endpoint = store.database.read(find_endpoint, endpoint_id)
    if endpoint is None:
        raise NoSuchEndpoint(endpoint_id)
    return endpoint.disabled_at is not None


def deed_of(
    choice: Choice,
    event_id: str | None,
    total: int,
    batch: Sequence[Chosen],
    sent: int,
    aside: int = 0,
    invoice_id: str | None = None,
) -> Deed:
    """The act of one batch; numbers of events tell it from its job's others. ``aside``: older ones, no longer sent."""
    asked: Values = {
        "event": event_id,
        "types": sorted(choice.types) or None,
        "since": choice.since,
        "until": choice.until,
        "dead_only": choice.dead_only or None,
        "missed_only": choice.missed_only or None,
        "newest_only": choice.newest_only or None,
        "set_aside": aside or None,
    }
    done: Values = {"events": sent, "of": total, "first": batch[0].number, "last": batch[-1].number}
    return Deed(
        act=Act.REPLAY,
        endpoint_id=choice.endpoint_id,
        invoice_id=(batch[0].invoice_id or None) if event_id else invoice_id,
        after={name: value for name, value in {**asked, **done}.items() if value is not None},
    )
