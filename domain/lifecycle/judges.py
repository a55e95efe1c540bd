"""Which function judges which evidence; ``decide`` is the entry to all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.against import CONTRADICTION, against
from domain.contradicted import Contradicted, digest_of
from domain.decision import Changes, Decision, InvoiceView, Policy
from domain.evidence import (
    CalledBack,
    CancelRequested,
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    Found,
    InDoubt,
    Marked,
    NotFound,
    NotSent,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    RecheckRequested,
    RetryRequested,
    SearchFailed,
    Seen,
    Unreachable,
    Unreadable,
)
from domain.lifecycle.callbacks import called_back
from domain.lifecycle.case import Case
from domain.lifecycle.clock import clock_ran_out
from domain.lifecycle.creates import (
    account_refused,
    again_later,
    created,
    in_doubt,
    not_sent,
    order_refused,
    retry_requested,
)
from domain.lifecycle.look_ups import not_seen, seen
from domain.lifecycle.people import cancel_requested, marked, recheck_requested
from domain.lifecycle.searches import found, not_found, search_failed
from domain.sequence import next_sequence
from domain.status import FINAL, SILENT, Status


def decide(
    invoice: InvoiceView, evidence: Evidence, policy: Policy, now: datetime, jitter: float = 0.0, epoch: int = 0
) -> Decision:
    """Judge one piece of evidence against the invoice as it is now. Pure; raises nothing for any evidence."""
    case = Case(invoice, Status(invoice.status), policy, now, jitter, epoch)
    decision = _JUDGES[type(evidence)](case, evidence)
    return decision if decision.verdict != "contradiction" else contradicted(invoice, evidence, decision, epoch)


def contradicted(invoice: InvoiceView, evidence: Evidence, decision: Decision, epoch: int) -> Decision:
    """The decision with the contradiction's event, which is in the invoice's sequence, once for each kind.

    Nobody outside knows of an invoice that is still silent: its contradictions are told once that has changed
    (``tell_owed``). What a look-up says again after a mark has settled it is no contradiction.
    """
    note = decision.note or f"{against(evidence)}, and it is {invoice.status}"
    known, kind = Contradicted.read(invoice.contradicted), note.partition(":")[0]
    said = digest_of(evidence, note) if isinstance(evidence, Seen) and invoice.status not in FINAL else None
    if known.has_settled(said):
        return replace(decision, verdict="noted", note=f"a mark has settled it: {note}")
    heard = known.hearing(said)
    if known.knows(kind):
        changes = decision.changes if heard == known else {**decision.changes, "contradicted": heard.text}
        return replace(decision, note=note, changes=changes)
    if invoice.status in SILENT:
        return replace(decision, note=note, changes={**decision.changes, "contradicted": heard.owing(kind).text})
    told = _told(invoice, heard.telling(kind), epoch)
    return replace(decision, note=note, changes={**decision.changes, **told}, event=CONTRADICTION)


def tell_owed(invoice: InvoiceView, epoch: int) -> Decision | None:
    """Tell the next contradiction that was found before the shop knew of the invoice. None: there is none, or the shop
    still doesn't know of it."""
    if not invoice.contradicted:
        return None
    known = Contradicted.read(invoice.contradicted)
    if not known.owed or invoice.status in SILENT:
        return None
    kind = known.owed[0]
    note = f"{kind}: it was found before the order was made; invoices show tells who said what"
    return Decision("contradiction", _told(invoice, known.telling(kind), epoch), CONTRADICTION, note=note)


def _told(invoice: InvoiceView, known: Contradicted, epoch: int) -> Changes:
    return {"sequence": next_sequence(invoice.sequence, epoch), "contradicted": known.text}


_JUDGES: dict[type[Evidence], Callable[[Case, Any], Decision]] = {
    Created: created,
    OrderRefused: order_refused,
    CredentialsRefused: account_refused,
    ProviderRefused: account_refused,
    Unreachable: again_later,
    RateLimited: again_later,
    NotSent: not_sent,
    InDoubt: in_doubt,
    Found: found,
    NotFound: not_found,
    SearchFailed: search_failed,
    Unreadable: not_seen,
    Seen: seen,
    CalledBack: called_back,
    ClockRanOut: clock_ran_out,
    CancelRequested: cancel_requested,
    RetryRequested: retry_requested,
    Marked: marked,
    RecheckRequested: recheck_requested,
}
