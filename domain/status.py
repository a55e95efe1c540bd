"""The statuses of an invoice, and TRANSITIONS, the table of all moves.

::

    queued ──> pending ──> partially_paid ──> confirming ──> paid ──> refunded
      │           │  ^            │            │   │
      v           │  └────────────┼────────────┘   │        (confirming falls back: a replaced transaction)
    in_doubt ─────┘               v                v
      any open one ──> failed | expired | cancelled         expired ──> confirming ──> paid  (late)

Steps may be skipped: a ``queued`` invoice may turn out to be ``paid``.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an invoice stands. The value is stored, sent and printed."""

    QUEUED = "queued"  #: taken from the shop, not made at the provider yet
    IN_DOUBT = "in_doubt"  #: a create was sent and its answer was lost: the provider may or may not have it
    PENDING = "pending"  #: made at the provider, nothing paid yet
    PARTIALLY_PAID = "partially_paid"  #: less than asked for has arrived
    CONFIRMING = "confirming"  #: a payment was seen and waits for its confirmations
    PAID = "paid"  #: final, but for a refund
    EXPIRED = "expired"  #: its time ran out; a late payment still counts within the monitoring time
    FAILED = "failed"  #: never made, or declared invalid by the provider; final
    CANCELLED = "cancelled"  #: given up by the shop; final
    REFUNDED = "refunded"  #: paid back; final


class Anomaly(StrEnum):
    """What was unusual about the payment."""

    UNDERPAID = "underpaid"
    OVERPAID = "overpaid"
    LATE = "late"


_S = Status
_CLOSING = {_S.FAILED, _S.EXPIRED, _S.CANCELLED}

#: Every legal move. No other ever happens, whatever a provider says.
#: ``partially_paid -> partially_paid`` is an amount that grew.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    _S.QUEUED: frozenset({_S.IN_DOUBT, _S.PENDING, _S.PARTIALLY_PAID, _S.CONFIRMING, _S.PAID} | _CLOSING),
    _S.IN_DOUBT: frozenset({_S.PENDING, _S.PARTIALLY_PAID, _S.CONFIRMING, _S.PAID} | _CLOSING),
    _S.PENDING: frozenset({_S.PARTIALLY_PAID, _S.CONFIRMING, _S.PAID} | _CLOSING),
    _S.PARTIALLY_PAID: frozenset({_S.PARTIALLY_PAID, _S.CONFIRMING, _S.PAID} | _CLOSING),
    _S.CONFIRMING: frozenset({_S.PENDING, _S.PAID} | _CLOSING),
    _S.PAID: frozenset({_S.REFUNDED}),
    _S.EXPIRED: frozenset({_S.CONFIRMING, _S.PAID}),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.REFUNDED: frozenset(),
}

#: Not closed: the shop waits for an outcome. At most one open invoice per (account, order_id).
OPEN = frozenset({_S.QUEUED, _S.IN_DOUBT, _S.PENDING, _S.PARTIALLY_PAID, _S.CONFIRMING})

#: Evidence against these is kept and changes nothing (except for ``paid -> refunded``). Not ``expired``: a late payment
#: counts.
FINAL = frozenset({_S.PAID, _S.FAILED, _S.CANCELLED, _S.REFUNDED})

#: Statuses without an event: the shop knows that it queued an order, and doubt is ours to settle.
SILENT = frozenset({_S.QUEUED, _S.IN_DOUBT})

#: Statuses of an invoice that exists at the provider and waits for its money.
WATCHED = frozenset({_S.PENDING, _S.PARTIALLY_PAID, _S.CONFIRMING})

#: Statuses of an invoice that does not exist at the provider, as far as anybody knows.
UNMADE = frozenset({_S.QUEUED, _S.IN_DOUBT})

#: Statuses in which no money moved. For a closed invoice they don't contradict each other: a provider that can't be
#: told of a cancellation goes on saying that it waits.
UNPAID = frozenset({_S.PENDING, _S.EXPIRED, _S.FAILED, _S.CANCELLED})
