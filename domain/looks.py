"""Which look-ups go first: those after callbacks before all others, and of these, where an account's budget does not
cover all that are due, the urgent ones. Pure.

The agenda has a lane for each kind: claims stay an index scan in the order of their due times.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain import schedule
from domain.account import MAX_BUDGETED_NAME
from domain.decision import Policy
from domain.evidence import CalledBack, Evidence, RecheckRequested
from domain.status import Status

#: Not part of any account's name.
SEPARATOR = ":"


class Look(StrEnum):
    """Why an invoice is looked at, most urgent first."""

    CALLED = "called"  #: a callback, or a person, says that there is something to see
    NEAR = "near"  #: its time ends, or money is on its way
    OPEN = "open"  #: the regular look-up of an open invoice
    WATCHED = "watched"  #: it is closed: for a late payment or a refund


class Looked(Protocol):
    """The fields of an invoice that say how urgent its next look-up is."""

    status: str
    called_status: str | None
    expires_at: datetime | None


def look_of(invoice: Looked, evidence: Evidence, due_at: datetime) -> Look:
    """The kind of the look-up that ``evidence`` planned for an invoice, which is what the decision made of it."""
    if invoice.called_status or isinstance(evidence, (CalledBack, RecheckRequested)):
        return Look.CALLED
    if invoice.status in {Status.CONFIRMING, Status.PARTIALLY_PAID, Status.IN_DOUBT}:
        return Look.NEAR
    if invoice.status != Status.PENDING:
        return Look.WATCHED
    return Look.NEAR if invoice.expires_at is not None and due_at >= invoice.expires_at else Look.OPEN


def lane_of(account: str, look: Look) -> str:
    """The agenda's lane of an account's look-ups of one kind; the regular ones have the account's own."""
    return account if look is Look.OPEN else f"{account}{SEPARATOR}{look}"


def has_own_lane(account: str, look: Look, policy: Policy) -> bool:
    """Whether a look-up stands in its kind's own lane: each kind does under a budget, those after callbacks in any case
    but where the account's name leaves no room for it in a lane's."""
    return policy.look_ups_per_second is not None or (look is Look.CALLED and len(account) <= MAX_BUDGETED_NAME)


def account_of(lane: str) -> str:
    """The account that a lane of look-ups or creates belongs to."""
    return lane.partition(SEPARATOR)[0]


def lanes_of(account: str) -> tuple[str, ...]:
    """All lanes of an account's look-ups."""
    return tuple(lane_of(account, look) for look in Look)


def search_lane_of(account: str) -> str:
    """The agenda's lane of creates that are searches, and must never become creates by themselves.

    Workers of a release that does not search would call the create: they don't know this lane.
    """
    return f"{account}{SEPARATOR}search"


def doorbell_of(lane: str) -> str:
    """The lane whose doorbell is rung for a look-up: those after callbacks have one of their own, the others share the
    account's."""
    account = account_of(lane)
    return lane if lane == lane_of(account, Look.CALLED) else account


def least_wait(policy: Policy) -> timedelta:
    """How soon a pending invoice that is quiet may be due again under the account's budget.

    Were it due sooner than its turn comes, the quickly polled would overtake the others: all being due after the same
    time, they are looked at in turn, each every ``look_gap_seconds``. Never more than the slowest poll: where many
    invoices are closed at once, the others come sooner.
    """
    return min(timedelta(seconds=policy.look_gap_seconds), schedule.slowest_poll(policy.poll_seconds))
