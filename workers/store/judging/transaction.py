"""``judge``: the transaction's steps, in their order."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace

from sqlalchemy import Connection, func, select

from domain.against import CONTRADICTION
from domain.decision import Decision, Policy, Stage
from domain.event import envelope, new_id
from domain.evidence import CalledBack, Evidence
from domain.lifecycle import decide, dropped, tell_owed
from workers.store.agenda import Room, lease_clock
from workers.store.bulk import Locks, insert_rows, update_rows
from workers.store.database import Database
from workers.store.invoice_locks import lock_invoices
from workers.store.judging.admission import admitted, set_aside
from workers.store.judging.due import place_create, place_look_up, write_agenda
from workers.store.judging.owners import Owners, find_owners
from workers.store.judging.payments import keep_payments, read_ledgers, write_payments
from workers.store.judging.records import bounded_note, count_repeats, keep_evidence
from workers.store.judging.work import GivenBack, Judged, Judgement, Outcome, Times, Work
from workers.store.outbox import NewEvent, add_events
from workers.store.tables import EVIDENCE, INVOICE, RESTORATION

_EPOCH = select(func.coalesce(func.max(RESTORATION.c.epoch), 0))


def judge(
    connection: Connection,
    database: Database,
    policy_of: Callable[[str], Policy],
    judgements: Sequence[Judgement],
    room: Room | None = None,
    locks: Locks = "wait",
) -> Judged:
    """Apply evidence to its invoices as they are now.

    With ``locks`` "skip", what somebody else has locked is left; raises PairsHeld where that shows only late.
    """
    work = _lock(connection, database, sorted({j.invoice_id for j in judgements}), locks)
    if work.left:
        judgements = [judgement for judgement in judgements if judgement.invoice_id not in work.left]
    owners = find_owners(connection, [(work.invoices[j[0]], j[1]) for j in judgements if j[0] in work.invoices])
    work.ledgers = read_ledgers(connection, work.invoices, judgements)
    outcomes = [_judge_one(work, judgement, policy_of, owners) for judgement in judgements]
    _write_invoices(connection, work)
    lanes = write_agenda(connection, work)
    if room is not None:
        room = dataclasses.replace(room, begun_at=work.leases_begin_at)
    endpoints, deliveries = add_events(connection, work.events, work.now, room, careful=locks == "skip")
    count_repeats(connection, work.repeated, work.now)
    insert_rows(connection, EVIDENCE, work.evidence)
    write_payments(connection, work.ledgers)
    lanes |= {(Stage.DELIVER, endpoint) for endpoint in endpoints}
    return Judged(outcomes, lanes, deliveries, work.left, work.given_back)


def _judge_one(work: Work, judgement: Judgement, policy_of: Callable[[str], Policy], owners: Owners) -> Outcome:
    if judgement.claim is not None:
        work.held[judgement.claim.stage, judgement.invoice_id].add(judgement.claim.token)
    invoice = work.invoices.get(judgement.invoice_id)
    if invoice is None:
        return Outcome(judgement.invoice_id, "missing")
    evidence, before, sequence = admitted(work, judgement, invoice, owners), invoice.status, invoice.sequence
    policy, decision = policy_of(invoice.provider_account), set_aside(work, judgement, evidence)
    if decision is None:
        decision = decide(invoice, evidence, policy, work.now, random.random(), work.epoch)  # noqa: S311
    unheard, called_at = dropped(invoice, decision), invoice.called_at
    if decision.gives_back and called_at is not None:
        work.given_back.append(GivenBack(invoice.provider_account, invoice.id, invoice.order_id, called_at))
    _apply(work, invoice, evidence, decision, before, judgement)
    if unheard is not None:
        _tell_unheard(work, invoice, unheard, policy)
    _tell_owed(work, invoice)
    place_look_up(work, invoice, evidence, decision, policy)
    place_create(work, invoice, decision, policy)
    told = decision.event, invoice.reason, invoice.order_id, invoice.account, decision.note, sequence
    times = _times(work, invoice, evidence, called_at) if decision.event else None
    return Outcome(invoice.id, decision.verdict, before, invoice.status, *told, times, invoice.trace)


def _times(work: Work, invoice: SimpleNamespace, evidence: Evidence, called_at: datetime | None) -> Times:
    """``called_at``: when the callback came that the invoice remembered; it forgets that once it is settled."""
    heard_at = evidence.asked_at if isinstance(evidence, CalledBack) else called_at
    settled = isinstance(evidence, CalledBack) or invoice.called_at is None
    return Times(work.now, invoice.created_at, invoice.expires_at, heard_at if settled else None)


def _lock(connection: Connection, database: Database, ids: Sequence[str], locks: Locks) -> Work:
    """The epoch is read after the locks are taken: raising it waits for whoever has an invoice locked."""
    invoices, rows, left = lock_invoices(connection, ids, locks)
    begun_at = lease_clock()
    return Work(*database.now_and(connection, _EPOCH), begun_at, invoices, rows, left)


def _apply(
    work: Work,
    invoice: SimpleNamespace,
    evidence: Evidence,
    decision: Decision,
    before: str,
    judgement: Judgement,
) -> None:
    keep_evidence(work, invoice, evidence, decision, judgement)
    _change(work, invoice, decision)
    event_id = None if decision.event is None else new_id("evt")
    keep_payments(work, invoice, evidence, decision, event_id)
    if event_id is not None:
        _tell(work, invoice, decision, before, event_id)


def _change(work: Work, invoice: SimpleNamespace, decision: Decision) -> None:
    if decision.changes:
        vars(invoice).update(decision.changes)
        work.changes[invoice.id].update(decision.changes)
    for stage, due_at in decision.agenda.items():
        work.agenda[stage, invoice.id] = due_at


def _tell_unheard(work: Work, invoice: SimpleNamespace, unheard: CalledBack, policy: Policy) -> None:
    """A remembered callback that the change dropped: judged by itself, after it. Its payment was kept when it came."""
    decision = decide(invoice, unheard, policy, work.now, epoch=work.epoch)
    keep_evidence(work, invoice, unheard, decision, Judgement(invoice.id, unheard))
    _change(work, invoice, decision)
    _tell(work, invoice, decision, invoice.status, new_id("evt"))


def _tell_owed(work: Work, invoice: SimpleNamespace) -> None:
    while (owed := tell_owed(invoice, work.epoch)) is not None:
        _change(work, invoice, owed)
        _tell(work, invoice, owed, invoice.status, new_id("evt"))


def _tell(work: Work, invoice: SimpleNamespace, decision: Decision, before: str, event_id: str) -> None:
    if decision.event is None:
        return
    body = envelope(
        invoice,
        event_id=event_id,
        event_type=decision.event,
        previous_status=before,
        time=work.now,
        more=_contradiction(decision),
    )
    work.events.append(NewEvent(event_id, invoice.id, invoice.sequence, decision.event, body, invoice.account))


def _contradiction(decision: Decision) -> dict[str, str] | None:
    """What the event of a contradiction tells besides the invoice."""
    if decision.event != CONTRADICTION or decision.note is None:
        return None
    kind, _, words = bounded_note(decision.note).partition(": ")
    return {"kind": kind, "words": words}


def _write_invoices(connection: Connection, work: Work) -> None:
    """One statement per set of changed columns, its rows sorted by key."""
    groups: dict[frozenset[str], list[dict[str, object]]] = defaultdict(list)
    for invoice_id, changes in sorted(work.changes.items()):
        groups[frozenset(changes)].append({"id": invoice_id, **changes})
    for rows in groups.values():
        update_rows(connection, INVOICE, ("id",), rows)
