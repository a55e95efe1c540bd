"""An invoice's proof: all that is kept of it, as the lines of ``domain/proof.py``. Of one moment, and read in pages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, or_, select

from domain.asking import references_of
from domain.event import format_time, invoice_text
from domain.exact_json import read_json
from domain.masking import mask
from domain.money import format_amount
from domain.ordered import ordered
from domain.payments import Payment, payment_fields
from domain.proof import READ_ME, VERSION, Chain, adds_up, changed, sums, told
from domain.sequence import gaps
from domain.visible import escape
from workers.store.acts import bare_url
from workers.store.database import Database
from workers.store.queries import deliveries_of_events
from workers.store.reads.acts import act_fields
from workers.store.reads.parts import attempt_fields, delivery_fields, evidence_fields
from workers.store.reads.payments import payments_of
from workers.store.rows import Query, StoredRow
from workers.store.tables import ACT, CALLBACK, ENDPOINT, EVENT, EVIDENCE, INVOICE, RESTORATION

#: Rows that are in memory at a time; an event comes with its deliveries, and these with all their attempts.
PAGE, EVENTS_PAGE = 100, 20
#: Callbacks of an order, at most. Repeats are no rows: more are of other invoices of a reused order id.
MOST_CALLBACKS = 10_000
#: Who can say that an invoice was made.
_MAKERS = frozenset({"create", "search", "look-up", "callback"})
_LOST = "removed by retention"

Write = Callable[[bytes], object]


class Unreadable(Exception):  # noqa: N818 - reads as what is the matter
    """A row that no release of ours writes."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was written: how many records, their top hash, and what is known to be missing among them."""

    status: str  #: the invoice's
    records: int
    top: str
    missing: Sequence[dict[str, object]]


def write_proof(
    database: Database, invoice_id: str, accounts: Collection[str], write: Write, secrets: Sequence[str] = ()
) -> Proof | None:
    """Write an invoice's proof, a line at a time; None where there is no such invoice. ``accounts`` and ``secrets``:
    that are configured. The same rows make the same bytes. Raises Unreadable."""
    with database.snapshot() as connection:
        invoice = connection.execute(select(INVOICE).where(INVOICE.c.id == invoice_id)).one_or_none()
        if invoice is None:
            return None
        proof = _Proof(connection, invoice, accounts, secrets)
        for line in proof.lines():
            write(line)
    return Proof(invoice.status, proof.chain.records, proof.chain.top or "", proof.missing)


@dataclass(slots=True)
class _Proof:
    """On its way."""

    connection: Connection
    invoice: StoredRow
    accounts: Collection[str]
    secrets: Sequence[str]
    chain: Chain = field(default_factory=Chain)
    missing: list[dict[str, object]] = field(default_factory=list)
    last: dict[str, object] = field(default_factory=dict)  #: what the last event tells of the invoice
    newest: int = 0  #: its sequence
    urls: dict[str, str] = field(default_factory=dict)  #: of endpoints

    def lines(self) -> Iterator[bytes]:
        """All of them, in their order."""
        yield self._head()
        yield self._order()
        yield from self._restorations()
        yield from self._acts()
        yield from self._callbacks()
        yield from self._evidence()
        payments = payments_of(self.connection, self.invoice.id)
        yield from self._payments(payments)
        yield from self._events()
        yield self._stands(payments)
        yield self.chain.line("end", {"missing": self.missing})
        yield self.chain.seal()

    def _head(self) -> bytes:
        row = self.invoice
        about = {"invoice_id": row.id, "account": row.account, "order_id": row.order_id}
        return self.chain.line("proof", {"version": VERSION, **about, "read_me": READ_ME})

    def _order(self) -> bytes:
        row = self.invoice
        content = ordered(row, self.accounts)
        fields = {
            "at": format_time(row.created_at),
            "idempotency_key": row.idempotency_key,
            "create_before": None if row.create_before is None else format_time(row.create_before),
            "digest": row.digest,
            "content": content,
        }
        if content is None:
            self.missing.append({"what": "order", "why": "answers or fallback accounts have changed what was ordered"})
        return self.chain.line("order", fields)

    def _restorations(self) -> Iterator[bytes]:
        """After each the sequences of events jump."""
        for row in self.connection.execute(select(RESTORATION).order_by(RESTORATION.c.epoch)).all():
            yield self.chain.line("restored", {"at": format_time(row.at), "epoch": row.epoch})

    def _acts(self) -> Iterator[bytes]:
        query = select(ACT).where(ACT.c.invoice_id == self.invoice.id)
        for row in _pages(self.connection, query, ACT.c.id):
            yield self.chain.line("act", act_fields(row))

    def _callbacks(self) -> Iterator[bytes]:
        ids = self._callback_ids()
        if len(ids) > MOST_CALLBACKS:
            self.missing.append({"what": "callbacks", "why": f"only the first {MOST_CALLBACKS} of the order are here"})
        for start in range(0, min(len(ids), MOST_CALLBACKS), PAGE):
            some = ids[start : min(start + PAGE, MOST_CALLBACKS)]
            query = select(CALLBACK).where(CALLBACK.c.id.in_(some)).order_by(CALLBACK.c.id)
            for row in self.connection.execute(query).all():
                yield self._callback(row)

    def _callback(self, row: StoredRow) -> bytes:
        text = bytes(row.body).decode("utf-8", "surrogateescape")
        shown = mask(text, self.secrets)
        if shown != text:
            why = "a secret in it is masked, so that its digest can't be checked"
            self.missing.append({"what": f"callback {row.id} as it came", "why": why})
        return self.chain.line("callback", _callback_fields(row) | {"masked": shown != text, "raw": shown})

    def _callback_ids(self) -> Sequence[int]:
        """Its own, those of its order that nobody could match, and those linked by hand."""
        row = self.invoice
        references = [one for one in (row.provider_ref, *references_of(row)) if one]
        named = or_(CALLBACK.c.order_id == row.order_id, CALLBACK.c.reference.in_(references))
        ours: ColumnElement[bool] = or_(CALLBACK.c.invoice_id == row.id, CALLBACK.c.invoice_id.is_(None))
        accounts = sorted({row.account, row.provider_account})
        query = select(CALLBACK.c.id).where(CALLBACK.c.account.in_(accounts), named, ours)
        linked = select(ACT.c.callback_id).where(ACT.c.invoice_id == row.id, ACT.c.callback_id.is_not(None))
        by_hand = select(CALLBACK.c.id).where(CALLBACK.c.id.in_(linked), CALLBACK.c.invoice_id == row.id)
        first = query.order_by(CALLBACK.c.at, CALLBACK.c.id).limit(MOST_CALLBACKS + 1)
        return sorted({*self.connection.scalars(first), *self.connection.scalars(by_hand)})

    def _evidence(self) -> Iterator[bytes]:
        made, kept = False, False
        query = select(EVIDENCE).where(EVIDENCE.c.invoice_id == self.invoice.id)
        # Not by its key alone: a planner that takes an invoice for a large part of the table would read all of it.
        query = query.order_by(EVIDENCE.c.at, EVIDENCE.c.id).execution_options(yield_per=PAGE)
        for row in self.connection.execute(query):
            kept, made = True, made or (row.verdict == "applied" and row.source in _MAKERS)
            yield self.chain.line("evidence", evidence_fields(row))
        lacks = not kept and self.invoice.evidence_digest is not None
        if lacks or (self.invoice.provider_ref is not None and not made):
            self.missing.append({"what": "evidence", "why": f"{_LOST}, with callbacks of that time"})

    def _payments(self, payments: Sequence[Payment]) -> Iterator[bytes]:
        row = self.invoice
        for one in payments:
            booked = {"booked_at": None if one.booked_at is None else format_time(one.booked_at)}
            booked["booked"] = None if one.booked is None else format_amount(one.booked)
            told = payment_fields(one, row.pay_currency, row.network)
            yield self.chain.line("payment", {"at": format_time(one.first_seen_at), **told, **booked})

    def _events(self) -> Iterator[bytes]:
        query = select(EVENT).where(EVENT.c.invoice_id == self.invoice.id)
        sequences = self.connection.scalars(select(EVENT.c.sequence).where(EVENT.c.invoice_id == self.invoice.id))
        epochs = self.connection.scalars(select(RESTORATION.c.epoch)).all()
        for before, after in gaps(sorted(sequences), self.invoice.sequence, epochs):
            self.missing.append({"what": "events", "after": before, "before": after, "why": _LOST})
        for events in _portions(self.connection, query, EVENT.c.sequence, EVENTS_PAGE):
            deliveries = deliveries_of_events(self.connection, [event.number for event in events])
            self._learn_urls({row.endpoint_id for row, _ in deliveries})
            for event in events:
                yield self._event(event)
                for row, tries in deliveries:
                    if row.event_number == event.number:
                        yield from self._delivery(row, tries)

    def _event(self, row: StoredRow) -> bytes:
        body = bytes(row.body)
        try:
            self.last, self.newest = told(body)["data"], row.sequence
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unreadable(f"event {row.id}: its body can't be read ({type(error).__name__})") from None
        published_at = None if row.published_at is None else format_time(row.published_at)
        fields = {"at": format_time(row.created_at), "id": row.id, "type": row.type, "sequence": row.sequence}
        return self.chain.line("event", fields | {"published_at": published_at}, body)

    def _delivery(self, row: StoredRow, tries: Sequence[StoredRow]) -> Iterator[bytes]:
        fields = {name: value for name, value in delivery_fields(row, ()).items() if name != "attempts"}
        url = self.urls.get(row.endpoint_id)
        yield self.chain.line("delivery", fields | {"url": url})
        for one in tries:
            of = {"delivery_id": row.id, "sequence": row.sequence, "url": url}
            yield self.chain.line("attempt", of | attempt_fields(one))

    def _learn_urls(self, endpoints: Collection[str]) -> None:
        new = sorted(set(endpoints) - self.urls.keys())
        if new:
            query = select(ENDPOINT.c.id, ENDPOINT.c.url).where(ENDPOINT.c.id.in_(new))
            self.urls |= {row.id: bare_url(row.url) for row in self.connection.execute(query) if row.url}

    def _stands(self, payments: Sequence[Payment]) -> bytes:
        """As the row stands."""
        row = self.invoice
        body = escape(invoice_text(row)).encode()
        since = changed(told(body), self.last) if self.newest == row.sequence > 0 else None
        summed = sums(payments, row.pay_currency)
        fits = adds_up(row.paid_amount, summed)
        if not fits:
            self.missing.append({"what": "payments", "why": "they don't come to what the invoice says is paid"})
        fields = {
            "at": format_time(row.updated_at),
            "monitor_until": None if row.monitor_until is None else format_time(row.monitor_until),
            "changed_since_last_event": since,
            "sums": summed,
            "payments_add_up": fits,
        }
        return self.chain.line("invoice", fields, body)


def _callback_fields(row: StoredRow) -> dict[str, object]:
    """Its headers have the signature: only their names are told."""
    return {
        "at": format_time(row.at),
        "id": row.id,
        "account": row.account,
        "order_id": row.order_id,
        "reference": row.reference,
        "word": row.word,
        "amount": None if row.amount is None else format_amount(row.amount),
        "state": row.state,
        "invoice_id": row.invoice_id,
        "reason": row.reason,
        "headers": list(read_json(row.headers)),
        "digest": row.digest,
    }


def _pages(connection: Connection, query: Query, key: ColumnElement[int]) -> Iterator[StoredRow]:
    for rows in _portions(connection, query, key, PAGE):
        yield from rows


def _portions(
    connection: Connection, query: Query, key: ColumnElement[int], size: int
) -> Iterator[Sequence[StoredRow]]:
    """In the order of a key that stands behind the invoice in an index."""
    last: int | None = None
    while True:
        found = query if last is None else query.where(key > last)
        rows = connection.execute(found.order_by(key).limit(size)).all()
        if rows:
            yield rows
        if len(rows) < size:
            return
        last = getattr(rows[-1], str(key.key))
