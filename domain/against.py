"""Evidence against what is known: the kinds of contradictions, in words. Pure; the lifecycle decides.

``status``: a look-up or a callback says something else than the invoice ended with; ``mark``: an operator does,
or tells another amount; ``cancel``: the shop gives up what ended otherwise; ``made``: the provider made what was given
up meanwhile; ``reference``, ``order``, ``price``, ``currency``, ``coin``, ``amount``: an answer that is about something
else (``domain/callbacks.py``); ``late_payment``: a payment that waits for a person.
"""

from __future__ import annotations

from domain.evidence import CalledBack, CancelRequested, Created, Evidence, Seen

#: The event that tells of one, once for each kind and invoice.
CONTRADICTION = "invoice.contradiction"


def against(evidence: Evidence) -> str:
    """What evidence says that does not fit, as ``kind: words``."""
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
