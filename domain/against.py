"""Evidence against what is known: the kinds of contradictions, in words. Pure; the lifecycle decides.

- ``status``: a look-up or a callback disagrees with the status in which the invoice ended.
- ``mark``: an operator disagrees with it, or tells another amount.
- ``cancel``: the shop cancels an invoice that ended in another way.
- ``made``: the provider made an invoice that was given up meanwhile.
- ``reference``, ``order``, ``price``, ``currency``, ``coin``, ``amount``: an answer is about something else
  (``domain/callbacks.py``).
- ``late_payment``: a late payment waits for a person, or a part of the amount was seen only after the expiry.
"""

from __future__ import annotations

from domain.evidence import CalledBack, CancelRequested, Created, Evidence, Seen

#: The event that tells of a contradiction, once for each kind and invoice.
CONTRADICTION = "invoice.contradiction"


def against(evidence: Evidence) -> str:
    """What the evidence says that does not fit, as ``kind: words``."""
    match evidence:
        case Created():
            return f"made: the provider made it as {evidence.provider_ref}"
        case CancelRequested():
            return "cancel: the shop gives it up"
        case Seen():
            return f"status: the provider says {evidence.word}"
        case CalledBack():
            return f"status: the callback says {evidence.word}"
    return f"status: {type(evidence).__name__} came"
