"""The only place where an invoice's status is decided: a pure function of (invoice, evidence, policy, now).

No I/O, no clock, no dice: ``now`` and ``epoch`` are the database's, ``jitter`` (0..1) is an argument. Every move is in
``domain.status.TRANSITIONS``. ``Decision.agenda`` plans an invoice's future work; besides, ``workers/store`` makes it
due at once after a restore, and when an operator redrives a parked row. ``judges`` has the function for each kind of
evidence.
"""

from domain.lifecycle.callbacks import dropped
from domain.lifecycle.case import LAST_LOOKS
from domain.lifecycle.creates import REFUSED_REASONS
from domain.lifecycle.judges import contradicted, decide, tell_owed
from domain.lifecycle.searches import is_only_sought, is_to_be_sought

__all__ = [
    "LAST_LOOKS",
    "REFUSED_REASONS",
    "contradicted",
    "decide",
    "dropped",
    "is_only_sought",
    "is_to_be_sought",
    "tell_owed",
]
