"""The lines of the books in the order of their times, a page a transaction, along an index.

Payments of an earlier release have no line yet (``UNBOOKED``): they count from when they were first seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Column, Connection, and_, or_, select, text, union_all

from domain.booking import corrected, signed
from domain.books import PERSON, PROVIDER, Line
from domain.exact_json import read_json
from domain.payments import Payment
from workers.store.acts import Act
from workers.store.database import Database
from workers.store.payments import read_payment
from workers.store.rows import Query, StoredRow
from workers.store.tables import ACT, INVOICE, PAYMENT
from workers.store.tables.conditions import BOOKED, UNBOOKED

PAGE = 500
_FIRST = datetime.min.replace(tzinfo=UTC)
_OF_INVOICE = (
    "account", "provider_account", "order_id", "pay_currency", "network", "address", "currency", "price", "anomaly",
    "provider_ref", "metadata_json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Lane:
    """Lines along one index: ``at`` is the column of their times."""

    at: Column[datetime]
    condition: str


_LANES = (_Lane(PAYMENT.c.booked_at, BOOKED), _Lane(PAYMENT.c.first_seen_at, UNBOOKED))


def read_lines(database: Database, since: datetime | None, until: datetime) -> Iterator[Line]:
    """Those with ``since`` ≤ time < ``until``, oldest first."""
    at, number = since or _FIRST, 0
    while True:
        page = database.read(_page, at, number, until)
        yield from page
        if len(page) < PAGE:
            return
        at, number = page[-1].at, page[-1].line


def _page(connection: Connection, at: datetime, number: int, until: datetime) -> list[Line]:
    """Those after a line. One statement for both lanes: a payment that changes from one to the other while the report
    is written would be told twice or never."""
    lanes = union_all(*(select(_along(lane, at, number, until).subquery()) for lane in _LANES)).subquery("page")
    of_invoice = (INVOICE.c[name].label(f"invoice_{name}") for name in _OF_INVOICE)
    query = select(lanes, *of_invoice).join(INVOICE, INVOICE.c.id == lanes.c.invoice_id)
    rows = connection.execute(query.order_by(lanes.c.line_at, lanes.c.id).limit(PAGE)).all()
    priced, marks = _priced(connection, rows), _marks(connection, rows)
    return [_line(row, row.id in priced, marks.get(row.invoice_id, ())) for row in rows]


def _along(lane: _Lane, at: datetime, number: int, until: datetime) -> Query:
    """As many of a lane as a page may need. The first condition is what the index is entered by."""
    after = and_(lane.at >= at, or_(lane.at > at, PAYMENT.c.id > number))
    found = select(PAYMENT, lane.at.label("line_at")).where(text(lane.condition), after, lane.at < until)
    return found.order_by(lane.at, PAYMENT.c.id).limit(PAGE)


def _priced(connection: Connection, rows: Sequence[StoredRow]) -> set[int]:
    """Of each of their invoices that was paid, the line with its price: the first that was written when it became paid,
    since what was booked before may be reported already. If there is none (an earlier release kept the payment, or all
    of it was booked before), the first line that it was paid by."""
    ids = sorted({row.invoice_id for row in rows})
    columns = "id", "invoice_id", "kind", "status", "settled_status", "settled_at", "booked_at", "folded"
    found: dict[str, list[StoredRow]] = {}
    query = select(*(PAYMENT.c[name] for name in columns)).where(PAYMENT.c.invoice_id.in_(ids)).order_by(PAYMENT.c.id)
    for row in connection.execute(query) if ids else ():
        found.setdefault(row.invoice_id, []).append(row)
    return {line for some in found.values() if (line := _priced_line(some)) is not None}


def _priced_line(rows: Sequence[StoredRow]) -> int | None:
    """Of one invoice. A line keeps its number though its payment's row may take another one's place."""
    paid = [row for row in rows if row.settled_status == "paid"]
    became_at = min((row.settled_at for row in paid if row.settled_at is not None), default=None)
    booked = [row for row in rows if row.booked_at is not None]
    then = [row.id for row in booked if row.booked_at == became_at and row.status != "refunded"]
    whole = [row.id for row in paid if row.kind == "payment" and (row.booked_at is not None or not row.folded)]
    return min(then or whole, default=None)


def _marks(connection: Connection, rows: Sequence[StoredRow]) -> dict[str, list[StoredRow]]:
    """What people marked of those of their invoices that a mark is about, oldest first."""
    ids = sorted({row.invoice_id for row in rows if "mark" in {row.source, row.settled_by}})
    found: dict[str, list[StoredRow]] = {}
    query = select(ACT.c.invoice_id, ACT.c.at, ACT.c.by, ACT.c.reason, ACT.c.after)
    query = query.where(ACT.c.invoice_id.in_(ids), ACT.c.act == Act.MARK.value).order_by(ACT.c.invoice_id, ACT.c.id)
    for act in connection.execute(query) if ids else ():
        found.setdefault(act.invoice_id, []).append(act)
    return found


def _line(row: StoredRow, is_priced: bool, marks: Sequence[StoredRow]) -> Line:
    payment = read_payment(row)
    act = _act(payment, marks)
    amount = _amount(payment)
    is_told = bool(payment.booked_told if payment.booked_at else payment.amount_told)
    return Line(
        at=payment.booked_at or payment.first_seen_at,
        line=row.id,
        account=row.invoice_account,
        provider_account=row.invoice_provider_account,
        order_id=row.invoice_order_id,
        invoice=row.invoice_id,
        payment=corrected(payment) or row.id,
        kind="mark" if payment.source == "mark" and payment.kind == "payment" else payment.kind,
        said_by=PERSON if payment.source == "mark" else PROVIDER,
        asset=payment.asset or row.invoice_pay_currency,
        network=payment.network or row.invoice_network,
        amount=amount if is_told else None,
        assumed_amount=None if is_told else amount,
        transaction=payment.tx_hash,
        address=row.invoice_address,
        currency=row.invoice_currency if is_priced else None,
        price=row.invoice_price if is_priced else None,
        status=payment.status.value,
        anomaly=row.invoice_anomaly,
        settled_by=payment.settled_by,
        by=None if act is None else act.by,
        reason=None if act is None else act.reason,
        reference=payment.reference,
        provider_ref=row.invoice_provider_ref,
        event=payment.settled_event,
        metadata=row.invoice_metadata_json,
    )


def _amount(payment: Payment) -> Decimal | None:
    amount = payment.booked if payment.booked_at else payment.amount
    return None if amount is None else signed(payment, amount)


def _act(payment: Payment, marks: Sequence[StoredRow]) -> StoredRow | None:
    """The mark that the line is due to: it was written down right after it was judged."""
    if "mark" not in {payment.source, payment.settled_by}:
        return None
    status, since = payment.settled_status or payment.status.value, payment.settled_at or payment.first_seen_at
    same = [one for one in marks if read_json(one.after or "{}").get("marked_as") == status]
    return next((one for one in same if one.at >= since), None)
