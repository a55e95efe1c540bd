"""What a look-up's answers say of one invoice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from domain.answers import weight
from domain.decision import InvoiceView
from domain.evidence import ClockRanOut, Evidence, Seen, Unreadable
from workers.store.agenda import Claim


def answer_about(
    found: Mapping[str, Evidence], claim: Claim, invoice: InvoiceView | None, refs: Sequence[str]
) -> Evidence:
    """The answer about one invoice, dated by its claim, which has the database's time.

    With several references, our own repeated creates have made twins: the paid one counts. Whether an answer is about
    this invoice at all is decided where evidence is applied, so the other answers go along.
    """
    if invoice is None or not refs:
        return ClockRanOut()
    answers = [_named(found[ref], ref, invoice) for ref in refs if ref in found]
    answer = max(answers, key=weight, default=None)
    if answer is None:
        return Unreadable(reason="no answer to the look-up within its time", asked_at=claim.claimed_at)
    if isinstance(answer, Seen):
        others = tuple(one for one in answers if one is not answer and isinstance(one, Seen))
        answer = dataclasses.replace(answer, others=others)
    return answer if answer.asked_at is None else dataclasses.replace(answer, asked_at=claim.claimed_at)


def _named(answer: Evidence, ref: str, invoice: InvoiceView) -> Evidence:
    """The answer with the reference it was asked by, unless that is the invoice's own id. It tells payments apart."""
    if not isinstance(answer, Seen) or ref == invoice.provider_ref:
        return answer
    return dataclasses.replace(answer, reference=ref)
