"""Before evidence is judged: whose it is, whether it still counts, and what only the locked rows can tell."""

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
from workers.store.intake import storable
from workers.store.judging.owners import Owners, settle_owner
from workers.store.judging.work import Judgement, Work

#: What a create may bring that says something of that call only.
_OF_ONE_CALL = (CredentialsRefused, InDoubt, NotFound, NotSent, ProviderRefused, RateLimited, SearchFailed, Unreachable)


def admitted(work: Work, judgement: Judgement, invoice: SimpleNamespace, owners: Owners) -> Evidence:
    """The evidence as it is judged and kept."""
    if isinstance(judgement.evidence, ClockRanOut):
        return _completed(work, judgement.evidence, judgement.invoice_id)
    return _storable(settle_owner(invoice, judgement.evidence, owners))


def set_aside(work: Work, judgement: Judgement, evidence: Evidence) -> Decision | None:
    """What comes of a create's answer that is not judged any more; None: it is."""
    claim = judgement.claim
    if claim is None or claim.stage is not Stage.CREATE:
        return None
    invoice = work.invoices[judgement.invoice_id]
    if claim.lane != invoice.provider_account:
        # The order has gone on to another account since: what the one before says (again) must not move it once more.
        again: Agenda = {Stage.CREATE: work.now} if work.holds((Stage.CREATE.value, invoice.id)) else {}
        if not isinstance(evidence, Created):
            return Decision("noted", agenda=again)
        twin = Decision("contradiction", agenda=again, note=f"account: {claim.lane} made it too")
        return contradicted(invoice, evidence, twin, work.epoch)
    return Decision("noted") if _overtaken(work, judgement, evidence) else None


def _overtaken(work: Work, judgement: Judgement, evidence: Evidence) -> bool:
    """What a call short of an answer brought under a lease that is over, or brings again after a commit whose own
    answer was lost: that call is judged, or will be, by whoever took the row over. Judged here too it would count as
    one more doubt, or plan a call for an invoice that is held in doubt, or send it to another account during a call."""
    moves = isinstance(evidence, OrderRefused) and work.invoices[judgement.invoice_id].fallbacks
    if judgement.claim is None or not (moves or isinstance(evidence, _OF_ONE_CALL)):
        return False
    row = work.rows.get((Stage.CREATE.value, judgement.invoice_id))
    return row is None or row.lease_token != judgement.claim.token


def _completed(work: Work, evidence: ClockRanOut, invoice_id: str) -> ClockRanOut:
    """The clock's word, with what only the locked rows can tell: somebody else's create is under way (or was lost)."""
    key = (Stage.CREATE.value, invoice_id)
    row = work.rows.get(key)
    lost = row is not None and row.claims > 0 and row.lease_token is None  # given back, or parked: it may have called
    in_call = lost or (row is not None and row.lease_token is not None and not work.holds(key))
    return evidence if evidence.in_call == in_call else dataclasses.replace(evidence, in_call=in_call)


def _storable(evidence: Evidence) -> Evidence:
    """Sources may say anything; what no database takes is written as an escape."""
    names = [field.name for field in dataclasses.fields(evidence)]
    texts = {name: text for name in names if isinstance(text := getattr(evidence, name), str)}
    changed: dict[str, Any] = {name: kept for name, text in texts.items() if (kept := storable(text)) != text}
    if isinstance(evidence, Seen) and evidence.others:
        changed["others"] = tuple(_storable(one) for one in evidence.others)
    return dataclasses.replace(evidence, **changed) if changed else evidence
