"""Evidence becomes truth: one transaction re-reads the invoices under lock, decides, writes change, event, agenda."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from domain.against import CONTRADICTION
from domain.decision import Decision, Policy, Stage, Verdict
from domain.event import envelope, new_id
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    InDoubt,
    Marked,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RecheckRequested,
    RetryRequested,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.exact_json import write_json
from domain.lifecycle import decide
from domain.models import EvidenceRecord, Restoration
from workers.store.agenda import AGENDA, CLOCK_LANE, Claim, Room, lease_clock
from workers.store.bulk import Locks, execute_keyed, insert_rows, keyed, update_rows
from workers.store.database import Database
from workers.store.intake import INVOICE, storable
from workers.store.invoice_locks import STAGES, lock_invoices
from workers.store.outbox import NewEvent, Parcel, add_events

EVIDENCE: Any = EvidenceRecord.__table__  # type: ignore[attr-defined]
RESTORATION: Any = Restoration.__table__  # type: ignore[attr-defined]

_EPOCH = select(func.coalesce(func.max(RESTORATION.c.epoch), 0))

RAW_CHARACTERS = 16_384
MAX_NOTE = 1000  #: characters of what is wrong
#: The clock's lane is rung for rows due within this too: it meets them to the moment and sweeps once a second.
SOON = timedelta(seconds=2)

_IDENTITY = ("stage", "subject")
#: What a create may bring that says something of that call only.
_OF_ONE_CALL = (CredentialsRefused, InDoubt, ProviderRefused, RateLimited, Unreachable)
#: Brought by a look-up these say nothing of the payment: while they are the last word, it would not be seen.
_NO_ANSWER = (CredentialsRefused, ProviderRefused, RateLimited, Unreachable, Unreadable)
#: What an invoice's ``evidence_digest`` begins with while its last word is one of those.
FAILED_LOOK_UP = "!"
#: Who says what only one can say; the rest is brought by a create or a look-up.
SOURCES: Mapping[type[Evidence], str] = {
    Seen: "look-up",
    CalledBack: "callback",
    CancelRequested: "shop",
    RetryRequested: "operator",
    Marked: "operator",
    RecheckRequested: "operator",
    ClockRanOut: "clock",
}


class Judgement(NamedTuple):
    """Evidence about an invoice, and the lease it was brought under, if any."""

    invoice_id: str
    evidence: Evidence
    claim: Claim | None = None
    kept_under: str | None = None  #: it was kept (``workers/store/kept.py``) under the lease with this token


class Outcome(NamedTuple):
    """What became of one piece of evidence. ``verdict`` is ``missing`` where there is no such invoice."""

    invoice_id: str
    verdict: Verdict | str
    status_before: str | None = None
    status: str | None = None
    event_type: str | None = None
    reason: str | None = None
    order_id: str | None = None
    account: str | None = None
    note: str | None = None  #: the decision's


class Judged(NamedTuple):
    """What one transaction did: its outcomes, the lanes that have work at once, the webhooks that its room took, and
    the invoices that it left alone because somebody else holds a lock of theirs."""

    outcomes: list[Outcome]
    lanes: set[tuple[Stage, str]]
    parcels: list[Parcel]
    left: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Work:
    """One transaction's worth of writing, gathered first, written in bulk and sorted by key."""

    now: datetime
    epoch: int
    leases_begin_at: float  #: by ``lease_clock``, read before ``now``
    invoices: dict[str, SimpleNamespace]
    rows: dict[tuple[str, str], Any]  #: (stage, invoice id) -> agenda row, locked
    left: frozenset[str] = frozenset()  #: invoices that are there, and not locked: somebody else holds them
    held: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))  #: leases it came under
    changes: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    agenda: dict[tuple[str, str], datetime | None] = field(default_factory=dict)
    events: list[NewEvent] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)


def judge(
    connection: Connection,
    database: Database,
    policy_of: Callable[[str], Policy],
    judgements: Sequence[Judgement],
    room: Room | None = None,
    locks: Locks = "wait",
) -> Judged:
    """Apply evidence to its invoices as they are now.

    With ``skip`` what somebody else keeps locked is left: raises PairsHeld where that shows late only.
    """
    work = _lock(connection, database, sorted({j.invoice_id for j in judgements}), locks)
    if work.left:
        judgements = [judgement for judgement in judgements if judgement.invoice_id not in work.left]
    taken = _refs_of_others(connection, work, judgements)
    outcomes = [_judge_one(work, judgement, policy_of, taken) for judgement in judgements]
    _write_invoices(connection, work)
    lanes = _write_agenda(connection, work)
    if room is not None:
        room = dataclasses.replace(room, begun_at=work.leases_begin_at)
    endpoints, parcels = add_events(connection, work.events, work.now, room, careful=locks == "skip")
    insert_rows(connection, EVIDENCE, work.evidence)
    lanes |= {(Stage.DELIVER, endpoint) for endpoint in endpoints}
    return Judged(outcomes, lanes, parcels, work.left)


def _judge_one(
    work: _Work, judgement: Judgement, policy_of: Callable[[str], Policy], taken: dict[tuple[str, str], str]
) -> Outcome:
    if judgement.claim is not None:
        work.held[judgement.claim.stage.value, judgement.invoice_id].add(judgement.claim.token)
    invoice = work.invoices.get(judgement.invoice_id)
    if invoice is None:
        return Outcome(judgement.invoice_id, "missing")
    evidence, before = _admitted(work, judgement, invoice, taken), invoice.status
    decision = _set_aside(work, judgement, evidence)
    if decision is None:
        policy, jitter = policy_of(invoice.provider_account), random.random()  # noqa: S311
        decision = decide(invoice, evidence, policy, work.now, jitter, work.epoch)
    _apply(work, invoice, evidence, decision, before, judgement)
    told = decision.event, invoice.reason, invoice.order_id, invoice.account, decision.note
    return Outcome(invoice.id, decision.verdict, before, invoice.status, *told)


def _lock(connection: Connection, database: Database, ids: Sequence[str], locks: Locks) -> _Work:
    """The epoch after the locks: who raises it waits for those that have an invoice locked."""
    invoices, rows, left = lock_invoices(connection, ids, locks)
    begun_at = lease_clock()
    return _Work(*database.now_and(connection, _EPOCH), begun_at, invoices, rows, left)


def _refs_of_others(connection: Connection, work: _Work, judgements: Sequence[Judgement]) -> dict[tuple[str, str], str]:
    """(provider account, provider_ref) -> invoice id, for every ref that this evidence would bind."""
    asked = sorted(
        {
            (work.invoices[j.invoice_id].provider_account, j.evidence.provider_ref)
            for j in judgements
            if isinstance(j.evidence, (Created, Seen)) and j.evidence.provider_ref and j.invoice_id in work.invoices
        }
    )
    if not asked:
        return {}
    rows = execute_keyed(connection, _bound_refs, ("provider_account", "provider_ref"), asked).all()
    return {(row.provider_account, row.provider_ref): row.id for row in rows}


@functools.cache
def _bound_refs(dialect: str) -> Any:
    ref = INVOICE.c.provider_account, INVOICE.c.provider_ref
    return select(INVOICE.c.id, *ref).where(keyed(dialect, *ref))


def _admitted(
    work: _Work, judgement: Judgement, invoice: SimpleNamespace, taken: dict[tuple[str, str], str]
) -> Evidence:
    """The evidence as it is judged and kept."""
    if isinstance(judgement.evidence, ClockRanOut):
        return _completed(work, judgement.evidence, judgement.invoice_id)
    return _storable(_foreign(judgement, invoice, taken))


def _foreign(judgement: Judgement, invoice: SimpleNamespace, taken: dict[tuple[str, str], str]) -> Evidence:
    """An answer that names another order's invoice binds nothing: it would show a customer somebody else's address."""
    evidence = judgement.evidence
    if not isinstance(evidence, (Created, Seen)) or not evidence.provider_ref:
        return evidence
    owner = taken.setdefault((invoice.provider_account, evidence.provider_ref), invoice.id)
    if owner == invoice.id:
        return evidence
    if isinstance(evidence, Seen):
        return dataclasses.replace(evidence, owner=owner)
    reason = f"the provider answered with {evidence.provider_ref}, the invoice of another order ({owner})"
    return InDoubt(reason=reason, asked_at=evidence.asked_at, raw=evidence.raw)


def _set_aside(work: _Work, judgement: Judgement, evidence: Evidence) -> Decision | None:
    """What comes of a create's answer that is not judged any more; None: it is."""
    claim = judgement.claim
    if claim is None or claim.stage is not Stage.CREATE:
        return None
    invoice = work.invoices[judgement.invoice_id]
    if claim.lane != invoice.provider_account:
        # The order has gone on to another account since: what the one before says (again) must not move it once more.
        made = isinstance(evidence, Created)
        note = f"account: {claim.lane} made it too" if made else None
        ours = _ours(work, (Stage.CREATE.value, invoice.id))
        return Decision(
            "contradiction" if made else "noted", agenda={Stage.CREATE: work.now} if ours else {}, note=note
        )
    return Decision("noted") if _overtaken(work, judgement, evidence) else None


def _overtaken(work: _Work, judgement: Judgement, evidence: Evidence) -> bool:
    """What a call short of an answer brought under a lease that is over, or brings again after a commit whose own
    answer was lost: that call is judged, or will be, by whoever took the row over. Judged here too it would count as
    one more doubt, or plan a call for an invoice that is held in doubt, or send it to another account during a call."""
    moves = isinstance(evidence, OrderRefused) and work.invoices[judgement.invoice_id].fallbacks
    if judgement.claim is None or not (moves or isinstance(evidence, _OF_ONE_CALL)):
        return False
    row = work.rows.get((Stage.CREATE.value, judgement.invoice_id))
    return row is None or row.lease_token != judgement.claim.token


def _completed(work: _Work, evidence: ClockRanOut, invoice_id: str) -> ClockRanOut:
    """The clock's word, with what only the locked rows can tell: somebody else's create is under way (or was lost)."""
    key = (Stage.CREATE.value, invoice_id)
    row = work.rows.get(key)
    lost = row is not None and row.claims > 0 and row.lease_token is None  # given back, or parked: it may have called
    in_call = lost or (row is not None and row.lease_token is not None and not _ours(work, key))
    return evidence if evidence.in_call == in_call else dataclasses.replace(evidence, in_call=in_call)


def _storable(evidence: Evidence) -> Evidence:
    """Sources may say anything; what no database takes is written as an escape."""
    texts = {name: text for name in evidence.__dataclass_fields__ if isinstance(text := getattr(evidence, name), str)}
    changed: dict[str, Any] = {name: kept for name, text in texts.items() if (kept := storable(text)) != text}
    return dataclasses.replace(evidence, **changed) if changed else evidence


def _ours(work: _Work, key: tuple[str, str]) -> bool:
    """The agenda row's present lease is one that this evidence came under."""
    row = work.rows.get(key)
    return row is not None and row.lease_token is not None and row.lease_token in work.held.get(key, ())


def _apply(
    work: _Work,
    invoice: SimpleNamespace,
    evidence: Evidence,
    decision: Decision,
    before: str,
    judgement: Judgement,
) -> None:
    _keep_evidence(work, invoice, evidence, decision, judgement)
    if decision.changes:
        vars(invoice).update(decision.changes)
        work.changes[invoice.id].update(decision.changes)
    for stage, due_at in decision.agenda.items():
        work.agenda[stage.value, invoice.id] = due_at
    if decision.event is not None:
        event_id = new_id("evt")
        body = envelope(
            invoice,
            event_id=event_id,
            event_type=decision.event,
            previous_status=before,
            time=work.now,
            more=_contradiction(decision),
        )
        work.events.append(NewEvent(event_id, invoice.id, invoice.sequence, decision.event, body))


def _contradiction(decision: Decision) -> dict[str, str] | None:
    """What the event of a contradiction tells beside the invoice."""
    if decision.event != CONTRADICTION or decision.note is None:
        return None
    kind, _, words = _note(decision.note).partition(": ")
    return {"kind": kind, "words": words}


def _note(note: str) -> str:
    return storable(note)[:MAX_NOTE]


def source_of(judgement: Judgement) -> str:
    """Who said it: create, look-up, callback, shop, operator or clock."""
    named = SOURCES.get(type(judgement.evidence))
    if named is not None:
        return named
    return "look-up" if judgement.claim is not None and judgement.claim.stage is Stage.CHECK else "create"


def _keep_evidence(
    work: _Work, invoice: SimpleNamespace, evidence: Evidence, decision: Decision, judgement: Judgement
) -> None:
    """Only what differs from the last, or changed something. The clock's word is in the event it caused.

    An answer that brings nothing new is not kept, but takes back that look-ups fail.
    """
    if decision.verdict == "ignored" and isinstance(evidence, Seen) and _fails(invoice):
        invoice.evidence_digest = work.changes[invoice.id]["evidence_digest"] = None
    if decision.verdict == "ignored" or (isinstance(evidence, ClockRanOut) and decision.verdict != "contradiction"):
        return
    fields = {
        name: getattr(evidence, name) for name in evidence.__dataclass_fields__ if name not in {"raw", "asked_at"}
    }
    told = {name: _plain(value) for name, value in fields.items() if value is not None}
    detail = write_json({**_said_by(judgement, invoice), **told})
    digest = hashlib.sha256(f"{type(evidence).__name__} {decision.verdict} {detail}".encode()).hexdigest()
    if isinstance(evidence, _NO_ANSWER):
        digest = FAILED_LOOK_UP + digest[1:]
    if digest == invoice.evidence_digest and decision.verdict != "applied":
        return
    invoice.evidence_digest = digest
    work.changes[invoice.id]["evidence_digest"] = digest
    work.evidence.append(
        {
            "invoice_id": invoice.id,
            "at": work.now,
            "kind": type(evidence).__name__,
            "detail": detail,
            "raw": evidence.raw[:RAW_CHARACTERS] if evidence.raw else None,
            "verdict": decision.verdict,
            "source": source_of(judgement),
            "note": None if decision.note is None else _note(decision.note),
        }
    )


def _said_by(judgement: Judgement, invoice: SimpleNamespace) -> dict[str, str]:
    """The account that said it, where an order has, or had, several."""
    account = invoice.provider_account
    if judgement.claim is not None and judgement.claim.stage is Stage.CREATE:
        account = judgement.claim.lane
    return {"account": account} if invoice.fallbacks or account != invoice.account else {}


def _fails(invoice: SimpleNamespace) -> bool:
    return bool(invoice.evidence_digest) and str(invoice.evidence_digest).startswith(FAILED_LOOK_UP)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _write_invoices(connection: Connection, work: _Work) -> None:
    """One statement per set of changed columns, its rows sorted by key."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for invoice_id, changes in sorted(work.changes.items()):
        groups[tuple(sorted(changes))].append({"id": invoice_id, **changes})
    for rows in groups.values():
        update_rows(connection, INVOICE, ("id",), rows)


def _write_agenda(connection: Connection, work: _Work) -> set[tuple[Stage, str]]:
    """Set what is due next. A row leased by somebody else keeps its ``due_at``; it is poked, and its holder decides."""
    gone: list[tuple[str, str]] = []
    moved: list[dict[str, Any]] = []
    poked: list[tuple[str, str]] = []
    added: list[dict[str, Any]] = []
    lanes: set[tuple[Stage, str]] = set()
    due = {key for key, due_at in work.agenda.items() if due_at is not None}
    for key in sorted(due | ((work.agenda.keys() | work.held.keys()) & work.rows.keys())):
        row, due_at = work.rows.get(key), work.agenda.get(key)
        ours = _ours(work, key)
        if row is None:
            if due_at is not None:
                added.append(_row(key, due_at) | {"lane": _lane(work, key)})
        elif key not in work.agenda and not ours:
            continue  # the lease was lost meanwhile; whoever holds the row now decides about it
        elif due_at is None:
            gone.append(key)
        elif row.lease_token is not None and not ours:
            poked.append(key)
        else:
            lane = _lane(work, key)
            elsewhere = {} if lane == row.lane else {"lane": lane}  # the order goes on to another account
            moved.append(_row(key, due_at) | {"lease_token": None} | elsewhere)
        if due_at is not None and due_at <= work.now + (SOON if key[0] == Stage.CLOCK.value else timedelta(0)):
            lanes.add((Stage(key[0]), _lane(work, key)))
    _execute_agenda(connection, gone, moved, poked, added)
    return lanes


def _execute_agenda(
    connection: Connection,
    gone: Sequence[tuple[str, str]],
    moved: Sequence[Mapping[str, Any]],
    poked: Sequence[tuple[str, str]],
    added: Sequence[Mapping[str, Any]],
) -> None:
    for stage in STAGES:
        subjects = [(subject,) for its_stage, subject in gone if its_stage == stage]
        if subjects:
            execute_keyed(connection, functools.partial(_remove, stage), ("subject",), subjects)
    update_rows(connection, AGENDA, _IDENTITY, [row for row in moved if "lane" not in row])
    update_rows(connection, AGENDA, _IDENTITY, [row for row in moved if "lane" in row])
    if poked:
        execute_keyed(connection, _poke, _IDENTITY, poked)
    insert_rows(connection, AGENDA, added)


@functools.cache
def _remove(stage: Stage, dialect: str) -> Any:
    return delete(AGENDA).where(AGENDA.c.stage == stage.value, keyed(dialect, AGENDA.c.subject))


@functools.cache
def _poke(dialect: str) -> Any:
    rows = keyed(dialect, AGENDA.c.stage, AGENDA.c.subject)
    return update(AGENDA).where(rows).values(pokes=AGENDA.c.pokes + 1)


def _row(key: tuple[str, str], due_at: datetime) -> dict[str, Any]:
    return {"stage": key[0], "subject": key[1], "due_at": due_at, "claims": 0, "pokes": 0}


def _lane(work: _Work, key: tuple[str, str]) -> str:
    account: str = work.invoices[key[1]].provider_account
    return CLOCK_LANE if key[0] == Stage.CLOCK.value else account
