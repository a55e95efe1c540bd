"""Before evidence is judged: whose it is, whether it still counts, and what only the locked rows tell."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

from domain.decision import Agenda, Decision, Stage
from domain.evidence import (
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    InDoubt,
    NotFound,
    NotSent,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    SearchFailed,
    Seen,
    Unreachable,
)
from domain.lifecycle import contradicted
from workers.store.judging.fields import fields_of
from workers.store.judging.owners import Owners, settle_owner
from workers.store.judging.work import Judgement, Work
from workers.store.storable import storable

#: What a create may bring that says something about that one call only.
_OF_ONE_CALL = (CredentialsRefused, InDoubt, NotFound, NotSent, ProviderRefused, RateLimited, SearchFailed, Unreachable)


def admitted(work: Work, judgement: Judgement, invoice: SimpleNamespace, owners: Owners) -> Evidence:
    """The evidence as it is judged and kept."""
    if isinstance(judgement.evidence, ClockRanOut):
        return _completed(work, judgement.evidence, judgement.invoice_id)
    return _storable(settle_owner(invoice, judgement.evidence, owners))


def set_aside(work: Work, judgement: Judgement, evidence: Evidence) -> Decision | None:
    """The decision on a create's answer that is no longer judged; None: it is judged."""
    claim = judgement.claim
    if claim is None or claim.stage is not Stage.CREATE:
        return None
    invoice = work.invoices[judgement.invoice_id]
    if claim.lane != invoice.provider_account:
        # The order has gone on to another account since: what the previous one says (again) must not move it once more.
        again: Agenda = {Stage.CREATE: work.now} if work.holds((Stage.CREATE, invoice.id)) else {}
        if not isinstance(evidence, Created):
            return Decision("noted", agenda=again)
        twin = Decision("contradiction", agenda=again, note=f"account: {claim.lane} made it too")
        return contradicted(invoice, evidence, twin, work.epoch)
    return Decision("noted") if _overtaken(work, judgement, evidence) else None


def _overtaken(work: Work, judgement: Judgement, evidence: Evidence) -> bool:
    """Whether the answer of a call that made nothing must be skipped: its lease is over, or this repeats a commit whose
    confirmation was lost. Whoever took the row over judges that call, or has judged it. Judged here too, it would count
    as one more doubt, plan a call for an invoice that is held in doubt, or send the order to another account during a
    call."""
    moves = isinstance(evidence, OrderRefused) and work.invoices[judgement.invoice_id].fallbacks
    if judgement.claim is None or not (moves or isinstance(evidence, _OF_ONE_CALL)):
        return False
    row = work.rows.get((Stage.CREATE, judgement.invoice_id))
    return row is None or row.lease_token != judgement.claim.token


def _completed(work: Work, evidence: ClockRanOut, invoice_id: str) -> ClockRanOut:
    """The clock's word, with what only the locked rows tell: whether another create is under way, or was lost."""
    key = (Stage.CREATE, invoice_id)
    row = work.rows.get(key)
    # Given back, parked or redriven: an earlier holder may have called.
    lost = row is not None and row.claims > 0 and row.lease_token is None
    in_call = lost or (row is not None and row.lease_token is not None and not work.holds(key))
    return evidence if evidence.in_call == in_call else dataclasses.replace(evidence, in_call=in_call)


def _storable(evidence: Evidence) -> Evidence:
    """Sources may say anything: what a database can't store is escaped."""
    changed: dict[str, Any] = {
        name: kept
        for name, value in fields_of(evidence)
        if isinstance(value, str) and (kept := storable(value)) != value
    }
    if isinstance(evidence, Seen) and evidence.others:
        changed["others"] = tuple(_storable(one) for one in evidence.others)
    return dataclasses.replace(evidence, **changed) if changed else evidence
