"""The only place where an invoice's status is decided: a pure function of (invoice, evidence, policy, now).

No I/O, no clock, no dice: ``now`` and ``epoch`` are the database's, ``jitter`` (0..1) is an argument. Every move is in
``domain.status.TRANSITIONS``. ``Decision.agenda`` plans an invoice's future work; besides, ``workers/store`` makes it
due at once after a restore, and when an operator redrives a parked row.

``judges`` has the function for each kind of evidence; the other files have those functions, by who says something:

- ``creates``, ``searches``: the provider, while an order is being made; the next account of an order, and doubt
- ``look_ups``: the provider, about an invoice that is made; which amounts and payments are unusual
- ``callbacks``: the provider by itself; when its word counts alone
- ``clock``: a time has passed: the expiry, the end of a watch
- ``people``: the shop cancels, an operator marks

``moves`` has what they come to: paid, expired (and how long it is watched), a late payment that counts or is held.
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
