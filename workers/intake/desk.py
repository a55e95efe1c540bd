"""Where orders and cancellations are taken: what that needs, and a message as it is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.account import Account
from domain.exact_json import JsonError, read_json
from domain.order import Order
from domain.refused_order import RefusedOrder
from domain.tracing import OFF, Tracer
from workers.intake.telling import NO_ACCOUNT
from workers.store.intake import Added, Rejection
from workers.store.judging import Judgement, Outcome


class IntakeStore(Protocol):
    """What the intake needs of the store."""

    def add_orders(self, orders: Sequence[tuple[Order, str]], rejections: Sequence[Rejection] = ()) -> list[Added]: ...

    def reject(self, rejections: Sequence[Rejection]) -> None: ...

    def find(self, account: str, *, order_id: str | None = None, idempotency_key: str | None = None) -> str | None: ...

    def judge(self, judgements: Sequence[Judgement]) -> list[Outcome]: ...


class OrderChecker(Protocol):
    """What the intake needs of a provider."""

    def check_order(self, order: Order, account: Account) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Where orders are taken: the store, the configured accounts, the providers by name."""

    store: IntakeStore
    accounts: Mapping[str, Account]
    providers: Mapping[str, OrderChecker]
    lists_bugs: bool = True  #: a message that meets a bug of ours is listed; otherwise the error is raised
    may_tell: Callable[[str], bool] = lambda _: True  #: whether the account's shop is told of one more refused order
    tracer: Tracer = OFF

    def told(self, order: RefusedOrder | None) -> RefusedOrder | None:
        """The order, if its shop is to be told of the refusal: at a bounded rate. All unknown accounts share one
        limit."""
        if order is None:
            return None
        return order if self.may_tell(order.account if order.account in self.accounts else NO_ACCOUNT) else None

    @property
    def bug_level(self) -> int:
        """A message that is tried again was logged in full the first time."""
        return logging.ERROR if self.lists_bugs else logging.DEBUG


class OrderMessage(Protocol):
    """What the intake needs of a message. ``text``: its fields as JSON, digit for digit; ``key``: the same on
    every delivery; ``expires``: the sender wants it dropped after this; ``task_id``: the sender's name for it;
    ``trace``: the trace that its orders belong to (``domain/trace.py``)."""

    @property
    def task(self) -> str: ...

    @property
    def fields(self) -> object: ...

    @property
    def text(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def expires(self) -> datetime | None: ...

    @property
    def task_id(self) -> str: ...

    @property
    def trace(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """A message of any intake task whose text and key are known."""

    task: str
    text: str
    key: str
    expires: datetime | None = None
    task_id: str = ""
    trace: str | None = None

    @property
    def fields(self) -> object:
        """The parsed text."""
        try:
            return read_json(self.text)
        except JsonError:  # not after the guard, which has read it; from any other caller it counts as no object
            return None
