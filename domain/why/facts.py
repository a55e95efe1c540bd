"""The facts about one order, as rows have them: from these its cause is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.account import Account
from domain.decision import InvoiceView, Stage
from domain.why.processes import Crew
from domain.why.sentence import say

#: Work that has been due for this long is late: workers take up due work within a second.
LATE = timedelta(seconds=15)

#: What a person who asks about an order calls a row of the agenda.
WORK = {
    Stage.CREATE: say("its create"),
    Stage.CHECK: say("its look-up"),
    Stage.CLOCK: say("its due time"),
    Stage.DELIVER: say("its webhook"),
    Stage.PUBLISH: say("its event"),
}


class AskedInvoice(InvoiceView, Protocol):
    """The fields of an invoice that causes are decided and told from."""

    id: str
    account: str
    provider: str
    created_at: datetime
    evidence_digest: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that was rejected and has not been sent again."""

    number: int
    at: datetime
    reason: str
    complete: bool  #: it is stored whole, so it can be sent again


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of the agenda. ``due_at``: while ``leased`` the end of the lease; None: parked."""

    stage: Stage
    due_at: datetime | None
    leased: bool
    claims: int
    lane: str

    def is_held(self, now: datetime) -> bool:
        """Whether a worker has it in hand."""
        return self.leased and self.due_at is not None and self.due_at >= now

    def is_due(self, now: datetime) -> bool:
        """Whether it waits for a worker; the lease of a worker that was lost may be over."""
        return self.due_at is not None and self.due_at < now


@dataclass(frozen=True, slots=True)
class Said:
    """The last evidence that was kept: who said what, and since when."""

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
    """The order's oldest event that is not on the stream. ``events``: how many of all orders are not. ``held_until``:
    until when a publisher holds the stream's row."""

    type: str
    at: datetime
    events: int
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The order's oldest delivery that an endpoint has not taken, or the newest that was given up."""

    number: int
    endpoint: str
    type: str
    created_at: datetime
    tries: int
    dead: bool
    next_try_at: datetime | None
    behind: int  #: how many later ones of the same invoice wait for this one
    error: str | None  #: of the last attempt
    tried_at: datetime | None  #: when the last attempt was made
    disabled_at: datetime | None
    disabled_reason: str | None
    breaker: str = "closed"


@dataclass(frozen=True, slots=True)
class Queue:
    """The lane of an account's creates: calls in hand, and orders due before this one. Counted up to a limit."""

    in_hand: int
    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts at ``now``, by the database's clock. ``invoice`` None: there is none with this name."""

    name: str
    now: datetime
    crew: Crew
    invoice: AskedInvoice | None = None
    account: Account | None = None  #: the account that makes it; None: it is no longer configured
    rejected: Rejected | None = None
    last_order: tuple[str, datetime] | None = None  #: the newest order there is: its account, and when it came
    agenda: Sequence[Planned] = ()
    said: Said | None = None
    against: Against | None = None
    untold: Untold | None = None
    webhooks: Sequence[Webhook] = ()
    rests_until: datetime | None = None  #: its account is not called until then: the provider has said 429
    queue: Queue = field(default_factory=lambda: Queue(0, 0))
    confirmations: int | None = None  #: if the provider tells
    callback_place: str | None = None  #: where its provider should call back, in words
    called_at: datetime | None = None  #: when the newest callback of its account came
    is_paid_elsewhere: bool = False  #: no callback since it was made, but invoices of other accounts were paid
    drift: Sequence[str] = ()  #: drifts in answers about it that nobody has accepted, a sentence each

    def planned(self, stage: Stage) -> Planned | None:
        """The row of a stage, if there is one."""
        return next((one for one in self.agenda if one.stage is stage), None)
