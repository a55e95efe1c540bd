"""Conditions of partial indexes that statements repeat word for word. Apart from the classes, which readers don't
import."""

from domain.evidence import FAILED_LOOK_UP

#: In SQL: the account is turned away, calls were not received or were put off, or the last look-up brought nothing.
HELD_UP = f"refused_since IS NOT NULL OR create_tries <> 0 OR substr(evidence_digest, 1, 1) = '{FAILED_LOOK_UP}'"

#: In SQL: deliveries that were tried in vain and will be tried again.
FAILING = "state = 'due' AND tries > 0"

#: In SQL: payments that an earlier release kept, which wrote no line of the books: see ``domain/booking.py``.
#: Without IN: PostgreSQL would spell it otherwise each time that the index is made anew of its definition.
UNBOOKED = (
    "booked_at IS NULL AND folded = 0 AND"
    " (settled_status = 'partially_paid' OR settled_status = 'paid' OR settled_status = 'refunded' OR"
    " (source <> 'callback' AND (status = 'partially_paid' OR status = 'paid' OR status = 'refunded')))"
)
#: In SQL: those with a line.
BOOKED = "booked_at IS NOT NULL"
