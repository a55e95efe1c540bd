"""The evidence of one transaction, and what is to be written for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import NamedTuple

from domain.decision import Verdict
from domain.evidence import Evidence
from domain.ledger import Ledger
from workers.store.agenda import Claim, Lane
from workers.store.outbox import ClaimedDelivery, NewEvent
from workers.store.rows import LockedRow


class Judgement(NamedTuple):
    """Evidence about an invoice, and the lease it was brought under, if any."""

    invoice_id: str
    evidence: Evidence
    claim: Claim | None = None
    kept_under: str | None = None  #: token of the lease it was kept under (``workers/store/kept.py``)
    trace: str | None = None  #: the order's, if known; for observers only


class Times(NamedTuple):
    """When a change was, and what it is measured from; all by the database's clock."""

    at: datetime
    ordered_at: datetime
    expires_at: datetime | None
    called_at: datetime | None  #: when the callback came that it settles


class Outcome(NamedTuple):
    """What became of one piece of evidence. ``verdict`` is ``missing`` where there is no such invoice."""

    invoice_id: str
    verdict: Verdict | str
    status_before: str | None = None
    status: str | None = None
    event_type: str | None = None
    reason: str | None = None
    order_id: str | None = None
    account: str | None = None
    note: str | None = None  #: the decision's
    sequence_before: int | None = None
    times: Times | None = None  #: where something has changed
    trace: str | None = None  #: the order's


class GivenBack(NamedTuple):
    """A callback that an invoice remembered, though nobody can tell whether it is about that invoice."""

    account: str
    invoice_id: str
    order_id: str
    came_at: datetime


class Judged(NamedTuple):
    """What one transaction did: its outcomes, the lanes that have work now, the webhooks that it leased, and the
    invoices that it left because somebody else has them, or rows of theirs, locked."""

    outcomes: list[Outcome]
    lanes: set[Lane]
    deliveries: list[ClaimedDelivery]
    left: frozenset[str] = frozenset()
    given_back: Sequence[GivenBack] = ()


@dataclass(slots=True)
class Work:
    """One transaction's worth of writing, gathered first, written in bulk and sorted by key."""

    now: datetime
    epoch: int
    leases_begin_at: float  #: by ``lease_clock``, read before ``now``
    invoices: dict[str, SimpleNamespace]
    #: (stage, invoice id) -> agenda row, locked. As a key, here and in ``held`` and ``agenda``, a ``Stage`` equals its
    #: value.
    rows: dict[tuple[str, str], LockedRow]
    left: frozenset[str] = frozenset()  #: invoices that somebody else has locked
    held: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))  #: leases of the evidence
    changes: dict[str, dict[str, object]] = field(default_factory=lambda: defaultdict(dict))
    agenda: dict[tuple[str, str], datetime | None] = field(default_factory=dict)
    look_lanes: dict[str, str] = field(default_factory=dict)  #: by invoice, where its account has a budget for look-ups
    create_lanes: dict[str, str] = field(default_factory=dict)  #: by invoice
    events: list[NewEvent] = field(default_factory=list)
    evidence: list[dict[str, object]] = field(default_factory=list)
    last_kept: dict[str, dict[str, object]] = field(default_factory=dict)  #: of that, the last of each invoice
    given_back: list[GivenBack] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)  #: by invoice: how often its last evidence was said again
    ledgers: dict[str, Ledger] = field(default_factory=dict)  #: of invoices whose evidence may tell of a payment

    def holds(self, key: tuple[str, str]) -> bool:
        """Whether the agenda row's present lease is one that this evidence came under."""
        row = self.rows.get(key)
        return row is not None and row.lease_token is not None and row.lease_token in self.held.get(key, ())
