"""Ports: what the core expects of its surroundings."""

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
    """The host's clock. It counts only if the database has no clock of its own (SQLite)."""

    def now(self) -> datetime:
        """Aware, UTC, microseconds."""
        ...


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What a provider needs to make an invoice, as the order has it."""

    invoice_id: str
    order_id: str
    price: Decimal | None = None
    currency: str | None = None
    pay_currency: str | None = None
    network: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)


class CallbackUnreadable(ValueError):  # noqa: N818 - reads as what is the matter
    """A signed callback can't be understood. The message names the field."""


@dataclass(frozen=True, slots=True)
class SignedSample:
    """A callback as the provider would sign it, about no invoice."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


#: Waits until the account's limits allow one more call. The first call of each task is allowed already.
NextCall = Callable[[], Awaitable[None]]


class Provider(Protocol):
    """A payment provider. Adapters are stateless: they build a request and read the answer, but set no status."""

    name: str
    can_be_asked: bool  #: it documents a look-up
    asked_by_reference: bool  #: it is asked by a reference that callbacks bring, not by its own id
    tells_refunds: bool  #: a look-up of a paid invoice tells when it was paid back

    def check_order(self, order: Order, account: Account) -> None:
        """Raise OrderError (naming the field) for an order this provider can't take."""
        ...

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        """Make an invoice. Raises nothing but cancellation: every failure is evidence."""
        ...

    async def look_up(self, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """Look up invoices: an answer for each ref. Never raises.

        ``refs``: the provider's ids, or the references that callbacks brought, if ``asked_by_reference``.
        """
        ...

    def can_search(self, account: Account) -> bool:
        """Whether ``find`` can tell: the account's orders can be searched, and what is found echoes our order id."""
        ...

    async def find(
        self, request: CreateRequest, account: Account, since: datetime, next_call: NextCall
    ) -> SearchAnswer:
        """Search for what a create of this order may have made after ``since``. Await ``next_call`` before each call
        but the first.

        Raises nothing but cancellation. NotFound only if everything made since then was seen.
        """
        ...

    def verify_callback(self, body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
        """Whether the provider signed exactly these bytes, compared in constant time. Never raises."""
        ...

    def documented(self, account: Account) -> Documented:
        """What its documents show of its answers and callbacks, by call. Anything else is told as drift."""
        ...

    def read_callback(self, body: bytes) -> CalledBack | None:
        """What a callback says. None: it is about no invoice. Raises CallbackUnreadable."""
        ...


@runtime_checkable
class ListReader(Protocol):
    """A provider with a list that tells of many invoices in one call."""

    async def look_up_within(self, calls: int, refs: Sequence[str], account: Account) -> Mapping[str, LookUpAnswer]:
        """``look_up`` with at most so many calls. Refs that they don't cover are left out."""
        ...
