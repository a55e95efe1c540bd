"""What rows say of one order: what its cause is decided from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.account import Account
from domain.decision import InvoiceView, Stage
from domain.why.processes import Crew

#: Work that is due for so long is late: workers take up what is due within a second.
LATE = timedelta(seconds=15)

#: What a row of the agenda is to a person who asks about an order.
WORK = {
    Stage.CREATE: "its create",
    Stage.CHECK: "its look-up",
    Stage.CLOCK: "its due time",
    Stage.DELIVER: "its webhook",
    Stage.PUBLISH: "its event",
}


class AskedInvoice(InvoiceView, Protocol):
    """The fields of an invoice that a cause is told from."""

    id: str
    account: str
    provider: str
    created_at: datetime
    evidence_digest: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that was turned away, and not sent again since."""

    number: int
    at: datetime
    reason: str
    complete: bool  #: it is kept whole, so it can be sent again


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of the agenda. ``due_at``: the end of the lease while ``leased``; None: parked."""

    stage: Stage
    due_at: datetime | None
    leased: bool
    claims: int
    lane: str

    def is_held(self, now: datetime) -> bool:
        """Somebody works on it."""
        return self.leased and self.due_at is not None and self.due_at >= now

    def is_due(self, now: datetime) -> bool:
        """It waits for somebody to take it up; the lease of a lost holder is over."""
        return self.due_at is not None and self.due_at < now


@dataclass(frozen=True, slots=True)
class Said:
    """The last evidence that was kept: who said what, since when."""

    source: str | None
    kind: str
    reason: str | None
    at: datetime
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Against:
    """An open contradiction."""

    at: datetime
    note: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Untold:
    """The oldest event of the order that is not on the stream; how many of all orders; who holds the publisher's row,
    until when."""

    type: str
    at: datetime
    events: int
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The oldest delivery of the order that an endpoint has not taken, or the newest that was given up."""

    number: int
    endpoint: str
    type: str
    created_at: datetime
    tries: int
    dead: bool
    next_try_at: datetime | None
    behind: int  #: later ones of the same invoice that wait for this one
    error: str | None  #: what came of the last try
    tried_at: datetime | None  #: the last try
    disabled_at: datetime | None
    disabled_reason: str | None
    breaker: str = "closed"


@dataclass(frozen=True, slots=True)
class Queue:
    """The lane of an account's creates: calls in hand, orders due before this one. Both counted up to a limit."""

    in_hand: int
    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Of one order at ``now``, by the database's clock. ``invoice`` None: there is none of this name."""

    name: str
    now: datetime
    crew: Crew
    invoice: AskedInvoice | None = None
    account: Account | None = None  #: the one that makes it; None: it is no longer configured
    rejected: Rejected | None = None
    last_order: tuple[str, datetime] | None = None  #: the newest order there is: its account, and when it came
    agenda: Sequence[Planned] = ()
    said: Said | None = None
    against: Against | None = None
    untold: Untold | None = None
    webhooks: Sequence[Webhook] = ()
    queue: Queue = field(default_factory=lambda: Queue(0, 0))
    confirmations: int | None = None  #: where the provider tells
    callback_place: str | None = None  #: where its provider is to call back, in words
    called_at: datetime | None = None  #: the newest callback of its account
    is_paid_elsewhere: bool = False  #: none came since it was made, and invoices of other accounts were paid
    drift: Sequence[str] = ()  #: what answers about it had that nobody has accepted, a sentence each

    def planned(self, stage: Stage) -> Planned | None:
        """What is planned of a stage."""
        return next((one for one in self.agenda if one.stage is stage), None)
