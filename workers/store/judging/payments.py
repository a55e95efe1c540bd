"""The payments of the invoices that are judged: read under their locks, written in the same transaction."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from sqlalchemy import Connection, Executable, select

from domain.booking import adopt
from domain.decision import Decision
from domain.evidence import Evidence
from domain.ledger import Ledger
from domain.payments import Payment, may_tell_of_payments, sightings
from domain.status import Status
from workers.store.bulk import execute_keyed, insert_rows, keyed, update_rows
from workers.store.judging.work import Judgement, Work
from workers.store.payments import read_payment
from workers.store.tables import PAYMENT


def read_ledgers(
    connection: Connection, invoices: Mapping[str, SimpleNamespace], judgements: Sequence[Judgement]
) -> dict[str, Ledger]:
    """The payments of the invoices whose evidence may tell of one, by invoice id."""
    wanted = {
        judgement.invoice_id
        for judgement in judgements
        if (invoice := invoices.get(judgement.invoice_id)) is not None
        and may_tell_of_payments(invoice, judgement.evidence)
    }
    if not wanted:
        return {}
    found: dict[str, list[Payment]] = {invoice_id: [] for invoice_id in wanted}
    for row in execute_keyed(connection, _payments, ("invoice_id",), [(key,) for key in sorted(wanted)]):
        found[row.invoice_id].append(adopt(read_payment(row)))
    return {invoice_id: Ledger.of(rows) for invoice_id, rows in found.items()}


def keep_payments(
    work: Work, invoice: SimpleNamespace, evidence: Evidence, decision: Decision, event_id: str | None
) -> None:
    """Add what judged evidence tells of payments to the ledger, and what the invoice became because of them."""
    ledger = work.ledgers.get(invoice.id)
    if ledger is None:
        return
    rows = [ledger.see(one) for one in sightings(invoice, evidence, decision, work.now)]
    if event_id is not None and decision.verdict == "applied":
        ledger.became(rows, Status(invoice.status), event_id, invoice.sequence, evidence, work.now)
    ledger.reckon(invoice.pay_amount)
    ledger.book(work.now)


def write_payments(connection: Connection, ledgers: Mapping[str, Ledger]) -> None:
    """Changed rows first: a new one may need the key that one of them gives up."""
    changed: list[dict[str, object]] = []
    added: list[dict[str, object]] = []
    for invoice_id, ledger in sorted(ledgers.items()):
        for key in sorted(ledger.touched):
            row = dataclasses.asdict(ledger.rows[key]) | {"invoice_id": invoice_id}
            (added if row["id"] is None else changed).append(row | {"status": str(row["status"])})
    update_rows(connection, PAYMENT, ("id",), changed)
    insert_rows(connection, PAYMENT, [{name: row[name] for name in row if name != "id"} for row in added])


@functools.cache
def _payments(dialect: str) -> Executable:
    return select(PAYMENT).where(keyed(dialect, PAYMENT.c.invoice_id)).order_by(PAYMENT.c.id)
