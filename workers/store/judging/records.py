"""The evidence that is kept: whatever differs from the last, or changed something."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Unpack

from sqlalchemy import Connection, Executable, func, select

from domain.decision import Decision, Stage
from domain.evidence import (
    FAILED_LOOK_UP,
    ClockRanOut,
    Evidence,
    Seen,
    Source,
    leaves_unheard,
    says_failed_look_up,
)
from domain.exact_json import write_json
from workers.store.bulk import How, execute_keyed, keyed, locking, update_rows
from workers.store.judging.fields import fields_of
from workers.store.judging.work import Judgement, Work
from workers.store.storable import storable
from workers.store.tables import EVIDENCE

RAW_CHARACTERS = 16_384
MAX_NOTE = 1000  #: characters
#: Fields of evidence that its detail leaves out, or writes differently.
_NOT_TOLD = frozenset({"raw", "asked_at", "others", "instead", "told", "news"})


def source_of(judgement: Judgement) -> Source:
    """Who said it. Where a create and a look-up may both bring it, the stage that asked tells."""
    if judgement.evidence.source is not None:
        return judgement.evidence.source
    asked = judgement.claim
    return Source.LOOK_UP if asked is not None and asked.stage is Stage.CHECK else Source.CREATE


def bounded_note(note: str) -> str:
    return storable(note)[:MAX_NOTE]


def keep_evidence(
    work: Work, invoice: SimpleNamespace, evidence: Evidence, decision: Decision, judgement: Judgement
) -> None:
    """Keep only what differs from the last, or changed something; repeats are counted. The clock's word is kept only
    with a note or as a contradiction: otherwise its event tells.

    An answer that brings nothing new is not kept, but ends a run of look-ups that failed.
    """
    if decision.verdict == "ignored" and isinstance(evidence, Seen) and says_failed_look_up(invoice.evidence_digest):
        invoice.evidence_digest = work.changes[invoice.id]["evidence_digest"] = None
    if decision.verdict == "ignored":
        return
    if isinstance(evidence, ClockRanOut) and decision.verdict != "contradiction" and decision.note is None:
        return
    detail = write_json({**_said_by(judgement, invoice), **_told(evidence)})
    said = f"{type(evidence).__name__} {decision.verdict} {detail}{decision.note or ''}"
    digest = hashlib.sha256(said.encode()).hexdigest()
    if leaves_unheard(evidence, unheard=says_failed_look_up(invoice.evidence_digest)):
        digest = FAILED_LOOK_UP + digest[1:]
    if digest == invoice.evidence_digest and decision.verdict != "applied":
        _said_again(work, invoice.id)
        return
    invoice.evidence_digest = digest
    work.changes[invoice.id]["evidence_digest"] = digest
    _keep(work, evidence, decision, judgement, detail)


def _keep(work: Work, evidence: Evidence, decision: Decision, judgement: Judgement, detail: str) -> None:
    kept: dict[str, object] = {
        "invoice_id": judgement.invoice_id,
        "at": work.now,
        "kind": type(evidence).__name__,
        "detail": detail,
        "raw": evidence.raw[:RAW_CHARACTERS] if evidence.raw else None,
        "verdict": decision.verdict,
        "source": source_of(judgement),
        "note": None if decision.note is None else bounded_note(decision.note),
        "repeats": None,
        "last_at": None,
    }
    work.evidence.append(kept)
    work.last_kept[judgement.invoice_id] = kept


def _said_again(work: Work, invoice_id: str) -> None:
    """Count it with the last evidence: of this very transaction, or of an earlier one."""
    last = work.last_kept.get(invoice_id)
    if last is None:
        work.repeated[invoice_id] += 1
    else:
        before = last["repeats"]
        last |= {"repeats": before + 1 if isinstance(before, int) else 1, "last_at": work.now}


def count_repeats(connection: Connection, repeated: Mapping[str, int], now: datetime) -> None:
    """Add repeats to the rows that were kept before; must run before newer evidence is written. A locked row is left as
    it is: a count is not worth waiting for."""
    if not repeated:
        return
    keys = [(invoice_id,) for invoice_id in sorted(repeated)]
    last = execute_keyed(connection, locking(_last, "skip"), ("invoice_id",), keys).all()
    counted = [{"id": row.id, "repeats": (row.repeats or 0) + repeated[row.invoice_id], "last_at": now} for row in last]
    update_rows(connection, EVIDENCE, ("id",), counted)


@functools.cache
def _last(dialect: str, **how: Unpack[How]) -> Executable:
    newest = (
        select(func.max(EVIDENCE.c.id)).where(keyed(dialect, EVIDENCE.c.invoice_id)).group_by(EVIDENCE.c.invoice_id)
    )
    found = select(EVIDENCE.c.id, EVIDENCE.c.invoice_id, EVIDENCE.c.repeats).where(EVIDENCE.c.id.in_(newest))
    return found.order_by(EVIDENCE.c.id).with_for_update(**how)


def _said_by(judgement: Judgement, invoice: SimpleNamespace) -> dict[str, str]:
    """The account that said it, if the order has, or had, several."""
    account = invoice.provider_account
    if judgement.claim is not None and judgement.claim.stage is Stage.CREATE:
        account = judgement.claim.lane
    return {"account": account} if invoice.fallbacks or account != invoice.account else {}


def _told(evidence: Evidence) -> dict[str, object]:
    told = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in fields_of(evidence)
        if value is not None and name not in _NOT_TOLD
    }
    if isinstance(evidence, Seen) and evidence.others:
        told["others"] = [_told(one) for one in evidence.others]
    return told
