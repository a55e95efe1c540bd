"""What the core expects of its surroundings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from domain.account import Account
from domain.drift import Documented
from domain.evidence import CalledBack, CreateAnswer, LookUpAnswer, SearchAnswer
from domain.order import Order


class Clock(Protocol):
    """The host's clock; the truth only where the database has none of its own (SQLite)."""

    def now(self) -> datetime:
        """Aware, UTC, microseconds."""
        ...


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What a provider needs to make an invoice; the order's own words."""

    invoice_id: str
    order_id: str
    price: Decimal | None = None
    currency: str | None = None
    pay_currency: str | None = None
    network: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)


class CallbackUnreadable(ValueError):  # noqa: N818 - reads as what is the matter
    """A signed callback that can't be understood. The message names the field."""


@dataclass(frozen=True, slots=True)
class SignedSample:
    """A callback as the provider would sign it, about no invoice of anybody's."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


#: Waits until the account's limits allow one more call. The first call of what is asked for is paid for already.
NextCall = Callable[[], Awaitable[None]]


class Provider(Protocol):
    """One payment provider. Adapters are stateless: they build a request, read the answer, set no status."""

    name: str
    can_be_asked: bool  #: it has a documented look-up
    asked_by_reference: bool  #: by what a callback brought, not by its own id
    tells_refunds: bool  #: a look-up of a paid invoice says so when it was paid back

    def check_order(self, order: Order, account: Account) -> None:
        """Raise OrderError (naming the field) for an order this provider can't take."""
        ...

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        """Make an invoice. Never raises but for cancellation: every failure is evidence."""
        ...

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """Ask for the state of invoices; an answer for each ref asked. Never raises.

        By ``provider_ref``; where ``asked_by_reference``, by what callbacks brought.
        """
        ...

    def can_search(self, account: Account) -> bool:
        """Whether ``find`` can tell: the account's orders can be searched, and what is found echoes our order id."""
        ...

    async def find(
        self, request: CreateRequest, account: Account, since: datetime, next_call: NextCall
    ) -> SearchAnswer:
        """Look for what a create of this order may have made after ``since``; ask ``next_call`` before a further call.

        Never raises but for cancellation. NotFound only where all that was made since was seen.
        """
        ...

    def verify_callback(self, body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        """Whether the provider signed these very bytes, in constant time. Never raises."""
        ...

    def documented(self, account: Account) -> Documented:
        """What its documents show of its answers and callbacks, by call: all else is told as drift."""
        ...

    def read_callback(self, body: bytes) -> CalledBack | None:
        """What a callback says; None: it is about no invoice. Raises CallbackUnreadable."""
        ...


@runtime_checkable
class ListReader(Protocol):
    """A provider whose lists tell of many invoices in one call."""

    async def look_up_within(self, calls: int, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """As ``look_up``, with at most so many calls: refs that they do not cover are left out."""
        ...
