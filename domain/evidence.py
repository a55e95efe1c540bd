"""Evidence: what a source says about an invoice. I/O returns it; only ``lifecycle.decide`` turns it into a status."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from domain.drift import Novelty, Told
from domain.status import Anomaly, Status

#: An invoice's ``evidence_digest`` begins with this while its last look-up had no answer. An index's condition names
#: it, so changing it takes a migration.
FAILED_LOOK_UP = "!"


def says_failed_look_up(digest: str | None) -> bool:
    """Whether an ``evidence_digest`` says that the last look-up had no answer."""
    return digest is not None and digest.startswith(FAILED_LOOK_UP)


class Source(StrEnum):
    """Who says a piece of evidence. Kept with it, and shown."""

    CREATE = "create"
    LOOK_UP = "look-up"
    CALLBACK = "callback"
    SHOP = "shop"
    OPERATOR = "operator"
    CLOCK = "clock"
    SEARCH = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Something that a source said. ``raw``: its own words, bounded, without secrets.

    ``asked_at`` (UTC, by the database's clock where it is judged) is when the source was asked, of a callback when it
    came. A look-up that was asked for when the invoice's time was over is the last one.

    ``source`` None: both a create and a look-up may bring it, and the stage that asked tells which it was.
    """

    source: ClassVar[Source | None] = None

    asked_at: datetime | None = None
    raw: str | None = None
    #: The answer that it was read from, and what is new in that: for the drift alarm only, not kept.
    told: Told | None = field(default=None, compare=False, repr=False)
    news: tuple[Novelty, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Created(Evidence):
    """The provider made the invoice. Amounts keep every digit; None means that the answer did not say."""

    source = Source.CREATE

    provider_ref: str  #: the provider's own id, the one it is asked by
    price: Decimal | None = None
    currency: str | None = None
    pay_amount: Decimal | None = None
    pay_currency: str | None = None
    network: str | None = None
    address: str | None = None
    payment_url: str | None = None
    qr_code: str | None = None
    lifetime_minutes: Decimal | None = None
    expires_at: datetime | None = None
    made_at: datetime | None = None  #: by the provider's clock
    disbelieved_expires_at: datetime | None = None  #: the provider's, if ``provider_clock`` did not believe it
    clock_off_seconds: int | None = None  #: how far the provider's clock is ahead of ours; None: they agree
    order_id: str | None = None  #: the answer's, if it is not the one we sent: the provider's own, or another order's


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Evidence):
    """Base of evidence with a reason: one line that the shop may see."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefused(Said):
    """The provider does not want this order. Repeating it makes no sense."""

    source = Source.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsRefused(Said):
    """The account's key was refused. That says nothing about the order, which waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRefused(Said):
    """The call was turned away without a word about the order: a proxy's 404, a challenge page, a redirect.

    Nothing was made. As with refused credentials the order waits.
    """

    source = Source.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable(Said):
    """The request was certainly never received (name not resolved, connection refused): safe to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent(Said):
    """This worker did not begin the call in time. That says nothing about the order or its account."""

    source = Source.CREATE

    after_lost: bool = False  #: it had taken over from a search whose worker was lost: see ``NotFound``


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt(Said):
    """The request may have been received, and its answer is lost: time-out, reset, 5xx, a body that can't be read."""

    source = Source.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited(Said):
    """429: not processed. Wait at least ``retry_after_seconds``, if the provider says so."""

    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(Said):
    """A look-up's answer that can't be understood (not JSON, wrong shape, unknown invoice). It changes nothing."""

    source = Source.LOOK_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Evidence):
    """What a look-up found. ``status`` None: an undocumented word, which changes nothing."""

    source = Source.LOOK_UP

    status: Status | None
    word: str  #: the provider's own word
    paid_amount: Decimal | None = None
    anomaly: Anomaly | None = None
    #: What the answer says of the invoice, to be compared with ours if it was not asked for by the invoice's own id.
    provider_ref: str | None = None
    order_id: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    pay_amount: Decimal | None = None
    pay_currency: str | None = None
    network: str | None = None
    tx_hash: str | None = None
    expires_at: datetime | None = None  #: until when the provider waits for a payment
    reference: str | None = None  #: what was asked by, if that is not the invoice's own id (Nebulox)
    owner: str | None = None  #: our invoice that ``provider_ref`` is bound to, if that is another one
    #: The answers by the invoice's other references (twins that our repeated create made): their payments count.
    others: tuple[Seen, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledBack(Evidence):
    """What a correctly signed callback says. It is a reason to look, and decides alone if nobody can be asked.

    ``status`` None: an undocumented word. ``only``: it fits this invoice, and no other of its order.
    """

    source = Source.CALLBACK

    status: Status | None
    word: str
    order_id: str | None = None
    reference: str | None = None  #: what the provider can be asked by from now on (Nebulox: the tracking code)
    paid_amount: Decimal | None = None
    pay_currency: str | None = None
    network: str | None = None
    tx_hash: str | None = None
    only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRanOut(Evidence):
    """A due time of the invoice has passed, by the database's clock. ``in_call``: a create is under way right now."""

    source = Source.CLOCK

    in_call: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Said):
    """The shop gives the order up."""

    source = Source.SHOP


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested(Said):
    """An operator wants an invoice in doubt to be created again (``invoices redrive``)."""

    source = Source.OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked(Said):
    """An operator says what became of an invoice (``invoices mark``)."""

    source = Source.OPERATOR

    status: Status
    by: str
    paid_amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckRequested(Said):
    """An operator wants the provider to be asked now (``invoices recheck``)."""

    source = Source.OPERATOR

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Created):
    """A search by our order id found the invoice that was made by a create whose answer was lost."""

    source = Source.SEARCH

    twins: str | None = None  #: JSON list: references of the order's other invoices, made by repeated creates
    #: The next best ones, best first. One of them counts if this one turns out to be another order's.
    instead: tuple[Found, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound(Evidence):
    """A complete search did not find the order. Right after a create that is no proof: lists lag."""

    source = Source.SEARCH

    after_lost: bool = False  #: an earlier search's worker died; one of a release that can't search may have created
    lapsed: str | None = None  #: JSON list: references of the order's invoices that are over, unpaid


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFailed(Said):
    """A search that proves nothing: no answer, an unreadable one, or an invoice that may or may not be ours."""

    source = Source.SEARCH

    retry_after_seconds: float | None = None


#: The evidence that a create, a look-up and a search may bring.
CreateAnswer = Created | OrderRefused | CredentialsRefused | ProviderRefused | Unreachable | InDoubt | RateLimited
LookUpAnswer = Seen | CredentialsRefused | Unreachable | RateLimited | Unreadable
SearchAnswer = Found | NotFound | SearchFailed | CredentialsRefused | RateLimited

#: From a look-up these say nothing about the payment: while they are the last word, it would not be seen.
_NO_ANSWER = (CredentialsRefused, ProviderRefused, RateLimited, Unreachable, Unreadable)
#: An answer to a call. Evidence from anybody else says nothing of whether look-ups are answered.
_ANSWERS = frozenset({Source.CREATE, Source.LOOK_UP, Source.SEARCH})


def leaves_unheard(evidence: Evidence, *, unheard: bool) -> bool:
    """Whether the last look-up had no answer, after this evidence; ``unheard``: whether it had none before."""
    return isinstance(evidence, _NO_ANSWER) or (unheard and evidence.source not in _ANSWERS)
