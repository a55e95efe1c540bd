"""What holds an order up at its account: one answer, whether one order is asked about or many are counted."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from domain.evidence import (
    CredentialsRefused,
    ProviderRefused,
    RateLimited,
    Unreachable,
    Unreadable,
    says_failed_look_up,
)
from domain.lifecycle import REFUSED_REASONS
from domain.status import OPEN, UNMADE, Status
from domain.why.cause import Cause
from domain.why.facts import Said

_REFUSED = {CredentialsRefused: Cause.KEY_REFUSED, ProviderRefused: Cause.PROVIDER_REFUSES}
#: The causes with which the account itself is refused, whatever the call.
REFUSALS = frozenset(_REFUSED.values())
#: By the reason in a queued order's row.
_BY_REASON = {REFUSED_REASONS[kind]: cause for kind, cause in _REFUSED.items()}
#: By the evidence that a call brought instead of an answer.
BY_KIND = {kind.__name__: cause for kind, cause in _REFUSED.items()} | {
    Unreachable.__name__: Cause.PROVIDER_UNREACHABLE,
    Unreadable.__name__: Cause.PROVIDER_UNREACHABLE,
    RateLimited.__name__: Cause.WAITS_FOR_ACCOUNT,
}


class HeldUp(Protocol):
    """The fields of an invoice that say whether its account holds it up."""

    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def refused_since(self) -> datetime | None: ...
    @property
    def create_tries(self) -> int: ...
    @property
    def called_status(self) -> str | None: ...
    @property
    def evidence_digest(self) -> str | None: ...


def is_refused(invoice: HeldUp) -> bool:
    """Whether its create is refused with its account."""
    return invoice.status in UNMADE and invoice.refused_since is not None


def is_out_of_reach(invoice: HeldUp) -> bool:
    """Whether its create does not reach the provider. (``create_tries`` means nothing once the invoice is made.)"""
    return invoice.status in UNMADE and invoice.create_tries > 0


def cause_at_account(invoice: HeldUp, said: Said | None) -> Cause | None:
    """The cause, by the invoice's row and the last evidence that was kept. None: its account does not hold it up."""
    if is_refused(invoice):
        by_kind = BY_KIND.get(said.kind if said else "")
        last = by_kind if by_kind in REFUSALS else Cause.KEY_REFUSED
        return _BY_REASON.get(invoice.reason or "", last)
    looked = _looked(invoice, said)
    if looked in REFUSALS:
        return looked
    if is_out_of_reach(invoice):
        return Cause.PROVIDER_UNREACHABLE
    if invoice.status == Status.QUEUED and invoice.create_tries < 0:
        return Cause.WAITS_FOR_ACCOUNT
    return looked


def _looked(invoice: HeldUp, said: Said | None) -> Cause | None:
    """The cause by which the last look-up had no answer, if the invoice waits for one."""
    is_asked = invoice.status in OPEN - UNMADE or bool(invoice.called_status)
    failing = says_failed_look_up(invoice.evidence_digest)
    cause = BY_KIND.get(said.kind) if is_asked and failing and said is not None else None
    # A queued order is put off by its creates; for one in doubt the doubt is the cause.
    return None if cause is Cause.WAITS_FOR_ACCOUNT and invoice.status in UNMADE else cause
