"""What the page of one invoice shows, read at one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.exact_json import JsonError, read_json, write_json
from domain.status import Status
from domain.why import Cause, Why
from domain.why.person import needs_person
from workers.store.database import Database
from workers.store.endpoints import Endpoint, list_endpoints
from workers.store.reads.drift import drifts_of, sentence_of
from workers.store.reads.endpoints import is_within, limited
from workers.store.reads.history import read_history
from workers.store.reads.next_steps import Step, next_steps
from workers.store.reads.parts import transaction_of
from workers.store.reads.record import Record
from workers.store.reads.search import siblings_of
from workers.store.reads.why.order import Around
from workers.store.rows import StoredRow
from workers.store.store import Store
from workers.web.api.why import why_within
from workers.web.console.invoice_actions import Act, Acting
from workers.web.console.line import TABS, Line, Tab
from workers.web.console.payment_panel import PaymentPanel, panel_of
from workers.web.console.person import Person
from workers.web.console.timeline import folded, lines_of
from workers.web.console.told_lines import name_of

#: Lines of the history that are shown at once.
MOST_LINES = 300
#: Of metadata and params, what is shown of each value.
LONGEST_VALUE = 1000
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Lines of one kind, or of all (``tab`` None), newest first. ``older``: from before when the next page tells;
    ``counts``: by tab, with whether there may be more."""

    lines: Sequence[Line]
    coming: Sequence[Step]
    tab: Tab | None
    before: datetime | None
    older: datetime | None
    counts: Mapping[Tab, tuple[int, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePage:
    """All of it. ``why`` None: nothing is to be expected any more."""

    invoice: StoredRow
    record: Record
    now: datetime
    is_watched: bool
    why: Why | None
    needs_person: bool
    history: History
    payment: PaymentPanel
    acts: Sequence[Act]
    siblings: Sequence[StoredRow]
    more_siblings: bool
    drifts: Sequence[tuple[str, datetime]]
    transaction: str | None
    metadata: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]


def read_page(
    store: Store,
    around: Around,
    person: Person,
    invoice_id: str,
    tab: Tab | None = None,
    before: datetime | None = None,
) -> InvoicePage | None:
    """None: there is no such invoice, or it is not for this person."""
    database = store.database
    endpoints = {one.id: one for one in database.read(list_endpoints) if is_within(one, person.accounts)}
    record = _record_for(database, person, endpoints, invoice_id, before)
    if record is None:
        return None
    invoice, lines = record.invoice, lines_of(record, endpoints)
    siblings = database.read(siblings_of, invoice)
    why = _why(store, around, person, invoice_id)
    return InvoicePage(
        invoice=invoice,
        record=record,
        now=record.now,
        is_watched=_is_watched(invoice, record.now),
        why=why,
        needs_person=why is not None and needs_person(why, record.now),
        history=replace(history_of(record, lines, tab, before), coming=_coming(record, endpoints)),
        payment=panel_of(record, store.policy_of(invoice.provider_account)),
        acts=Acting(store, record, endpoints, person).acts(lines),
        siblings=[row for row in siblings.rows if person.sees(row.account)],
        more_siblings=siblings.more,
        drifts=[(sentence_of(row), row.since) for row in database.read(drifts_of, invoice_id)],
        transaction=transaction_of(record),
        metadata=_pairs(invoice.metadata_json),
        params=_pairs(invoice.params),
    )


def _record_for(
    database: Database, person: Person, endpoints: Mapping[str, Endpoint], invoice_id: str, before: datetime | None
) -> Record | None:
    """What this person may see of the invoice; None: nothing."""
    record = database.read(read_history, database, invoice_id, MOST_LINES + 1, before)
    if record is None or not person.sees(record.invoice.account):
        return None
    return record if person.accounts is None else limited(record, endpoints)


def _why(store: Store, around: Around, person: Person, invoice_id: str) -> Why | None:
    why = why_within(store.database, invoice_id, around, person.accounts)
    return None if why is None or why.cause is Cause.FINAL else why


def history_of(record: Record, lines: Sequence[Line], tab: Tab | None, before: datetime | None) -> History:
    """The page of lines that is asked for. A record that was cut is told of as far back as it is whole."""
    lines = [line for line in lines if before is None or line.at < before]
    counts = {name: (sum(line.tab == name for line in lines), _horizon(record) is not None) for name in TABS}
    chosen = folded(lines, record) if tab is None else [line for line in lines if line.tab == tab]
    unshown = [line.at for line in chosen[MOST_LINES:]]
    cut_at = max([*unshown, *([horizon] if (horizon := _horizon(record)) else [])], default=None)
    shown = [line for line in chosen[:MOST_LINES] if cut_at is None or line.at > cut_at]
    older = None if cut_at is None else cut_at + _TICK
    if cut_at is not None and not shown:  # all at one instant
        shown, older = chosen[:MOST_LINES], cut_at
    return History(lines=shown, coming=(), tab=tab, before=before, older=older, counts=counts)


def _coming(record: Record, endpoints: Mapping[str, Endpoint]) -> list[Step]:
    """What is to be done next, the last at the top. Receivers are called as everywhere on the page."""
    names = {one.id: name_of(one, one.id) for one in endpoints.values()}
    return [replace(step, why=step.why.renamed(names)) for step in next_steps(record)[::-1]]


def _horizon(record: Record) -> datetime | None:
    """Up to when parts of the record are missing; None: it is whole."""
    parts = (
        [row.at for row in record.evidence],
        [row.created_at for row in record.events],
        [row.at for row in record.callbacks],
        [row.at for row in record.acts],
    )
    return max((times[0] for times in parts if len(times) > MOST_LINES), default=None)


def _is_watched(invoice: StoredRow, now: datetime) -> bool:
    until = invoice.monitor_until
    return invoice.status in {Status.EXPIRED, Status.CONFIRMING} and until is not None and now < until


def _pairs(text: str) -> list[tuple[str, str]]:
    """A JSON object's names and values, as text."""
    try:
        found = read_json(text)
    except JsonError:
        return [("", text[:LONGEST_VALUE])]
    if not isinstance(found, dict):
        return [("", text[:LONGEST_VALUE])]
    return [(name, _text(value)) for name, value in found.items()]


def _text(value: object) -> str:
    text = value if isinstance(value, str) else write_json(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def endpoint_ids(page: InvoicePage) -> frozenset[str]:
    """The receivers that this person may send its events to."""
    return frozenset(one for act in page.acts for one, _ in act.endpoints)
