"""The parts of a decision: the stages of work, the policy that it is made under, and what becomes of the invoice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol, TypedDict


class Stage(StrEnum):
    """The kinds of work the agenda holds."""

    CREATE = "create"
    CHECK = "check"
    CLOCK = "clock"
    PUBLISH = "publish"
    DELIVER = "deliver"
    RETAIN = "retain"
    CALLBACK = "callback"


class InvoiceView(Protocol):
    """The fields of an invoice that decisions read. The table's class and the row of a plain query both have them."""

    status: str
    anomaly: str | None
    reason: str | None
    expires_at: datetime | None
    create_before: datetime | None
    final_look_at: datetime | None
    monitor_until: datetime | None
    refused_since: datetime | None
    lifetime_minutes: Decimal | None
    provider_ref: str | None
    paid_amount: Decimal | None
    sequence: int
    #: When the status last changed, the order went on to another account, or a late payment was first held.
    updated_at: datetime
    first_open: int
    create_tries: int
    doubts: int
    doubted_at: datetime | None  #: when the last doubt was counted
    searches: int | None  #: since then, searches that found nothing
    search_failures: int | None  #: in a row
    sought: int | None  #: the doubts that were settled by searches; if equal to ``doubts``, the create may be repeated
    twins: str | None  #: JSON list: references of the order's other invoices, which repeated creates made
    quiet_polls: int
    order_id: str
    price: Decimal | None
    currency: str | None
    pay_amount: Decimal | None
    pay_currency: str | None
    asked_by: str | None  #: JSON list of the references that callbacks brought
    called_status: str | None  #: what a callback says that no look-up has confirmed yet
    called_word: str | None
    called_amount: Decimal | None
    called_currency: str | None
    called_only: int | None
    called_at: datetime | None  #: when that callback came
    called_answered_at: datetime | None  #: when a look-up was last answered after that
    called_looks: int | None
    evidence_digest: str | None  #: of the last evidence kept; begins with ``FAILED_LOOK_UP`` if a look-up had no answer
    contradicted: str | None  #: what was told of contradictions: see ``domain/contradicted.py``
    provider_account: str
    fallbacks: str | None  #: JSON list of the accounts that are still to be tried


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator has set for the account, and what its provider can do."""

    lifetime_minutes: Decimal
    timeout_seconds: float
    on_doubt: Literal["retry", "hold"]
    poll_seconds: float
    hold_refused_minutes: Decimal
    monitor_minutes: Decimal
    can_be_asked: bool
    asked_by_reference: bool = False  #: by one that only a callback brings (Nebulox), not by the provider's own id
    searchable: bool = False  #: the provider can be searched for an order if the answer to its create was lost
    callback_grace_minutes: Decimal = Decimal(5)
    underpaid_tolerance_percent: Decimal = Decimal(0)
    late_payment: Literal["settle", "hold"] = "settle"
    look_ups_per_second: float | None = None  #: the account's budget; None: as many as are due
    #: How often that budget allows to look at each open invoice: their number divided by the look-ups per second.
    look_gap_seconds: float = 0.0
    #: How long a paid invoice is looked up for a refund; 0 if its provider does not tell refunds.
    refund_watch_days: Decimal = Decimal(0)
    #: The configured accounts and their providers: where an order may be made instead.
    providers: Mapping[str, str] = field(default_factory=dict)


#: When each stage is due next; None: it has nothing more to do.
Agenda = dict[Stage, datetime | None]

#: applied: the invoice changed · noted: kept, the status stays · ignored: nothing new ·
#: contradiction: it is against what is known; kept, told once for each kind, and changes nothing else.
Verdict = Literal["applied", "noted", "ignored", "contradiction"]


class Changes(TypedDict, total=False):
    """The fields of an invoice that a decision writes; the others stay as they are."""

    status: str
    anomaly: str | None
    reason: str | None
    sequence: int
    first_open: int
    provider_account: str
    provider: str
    provider_ref: str | None
    params: str
    fallbacks: str | None
    price: Decimal | None
    currency: str | None
    pay_amount: Decimal | None
    pay_currency: str | None
    paid_amount: Decimal | None
    network: str | None
    address: str | None
    payment_url: str | None
    qr_code: str | None
    lifetime_minutes: Decimal | None
    updated_at: datetime
    expires_at: datetime | None
    final_look_at: datetime | None
    monitor_until: datetime | None
    refused_since: datetime | None
    create_tries: int
    doubts: int
    doubted_at: datetime | None
    searches: int | None
    search_failures: int | None
    sought: int | None
    twins: str | None
    quiet_polls: int
    asked_by: str | None
    called_status: str | None
    called_word: str | None
    called_amount: Decimal | None
    called_currency: str | None
    called_only: int | None
    called_at: datetime | None
    called_answered_at: datetime | None
    called_looks: int | None
    contradicted: str | None
    evidence_digest: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an invoice: the fields to write, the event to tell, and when each stage is due next.

    A stage with None in ``agenda`` has nothing more to do; a stage that is not in it stays as it is.
    """

    verdict: Verdict
    changes: Changes = field(default_factory=Changes)
    event: str | None = None
    agenda: Agenda = field(default_factory=dict)
    note: str | None = None  #: of a contradiction ``kind: words``; otherwise why it was decided so
    #: Nobody can tell whether the callback that the invoice remembers is about it: a person decides about the callback.
    gives_back: bool = False
