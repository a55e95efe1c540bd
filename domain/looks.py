"""Which look-ups go first. Pure.

Those after callbacks go before all others. If an account's budget does not cover all that are due, the urgent ones of
the others go first. The agenda has a lane for each kind, so that a claim stays an index scan in order of due times.
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

#: Never a part of an account's name.
SEPARATOR = ":"


class Look(StrEnum):
    """Why an invoice is looked up, most urgent first."""

    CALLED = "called"  #: a callback, or a person, says that there is something to see
    NEAR = "near"  #: its time ends, or money is on its way
    OPEN = "open"  #: the regular look-up of an open invoice
    WATCHED = "watched"  #: a closed invoice's, for a late payment or a refund


class Looked(Protocol):
    """The fields of an invoice that say how urgent its next look-up is."""

    status: str
    called_status: str | None
    expires_at: datetime | None


def look_of(invoice: Looked, evidence: Evidence, due_at: datetime) -> Look:
    """The kind of the look-up that was planned by ``evidence``. ``invoice``: as the decision left it."""
    if invoice.called_status or isinstance(evidence, (CalledBack, RecheckRequested)):
        return Look.CALLED
    if invoice.status in {Status.CONFIRMING, Status.PARTIALLY_PAID, Status.IN_DOUBT}:
        return Look.NEAR
    if invoice.status != Status.PENDING:
        return Look.WATCHED
    return Look.NEAR if invoice.expires_at is not None and due_at >= invoice.expires_at else Look.OPEN


def lane_of(account: str, look: Look) -> str:
    """The agenda's lane for one kind of an account's look-ups; for the regular ones it is the account's name."""
    return account if look is Look.OPEN else f"{account}{SEPARATOR}{look}"


def has_own_lane(account: str, look: Look, policy: Policy) -> bool:
    """Whether a kind of look-ups has its own lane: each kind under a budget, and always those after callbacks, unless
    the account's name is too long for a lane's."""
    return policy.look_ups_per_second is not None or (look is Look.CALLED and len(account) <= MAX_BUDGETED_NAME)


def account_of(lane: str) -> str:
    """The account that a lane of look-ups or creates belongs to."""
    return lane.partition(SEPARATOR)[0]


def lanes_of(account: str) -> tuple[str, ...]:
    """All lanes of an account's look-ups."""
    return tuple(lane_of(account, look) for look in Look)


def search_lane_of(account: str) -> str:
    """The agenda's lane of creates that are searches, and must never become creates by themselves.

    Workers of a release that does not search would call the create, but don't know this lane.
    """
    return f"{account}{SEPARATOR}search"


def doorbell_of(lane: str) -> str:
    """The lane whose doorbell is rung for a lane of look-ups. Those after callbacks have their own, the others share
    the account's."""
    account = account_of(lane)
    return lane if lane == lane_of(account, Look.CALLED) else account


def least_wait(policy: Policy) -> timedelta:
    """The shortest wait between two look-ups of a quiet pending invoice under the account's budget.

    With a shorter wait than its turn takes, invoices that are polled quickly would overtake the others. With the same
    wait for all they take turns, each every ``look_gap_seconds``. Never longer than the slowest poll: when many
    invoices are closed at once, the turns of the others come sooner.
    """
    return min(timedelta(seconds=policy.look_gap_seconds), schedule.slowest_poll(policy.poll_seconds))
