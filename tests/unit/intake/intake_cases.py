"""A store in memory and a provider that is easily pleased, for the tests of the intake."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from domain.account import Account
from domain.exact_json import write_json
from domain.order import OrderError
from workers.intake.desk import IntakeMessage
from workers.store.intake import Added
from workers.store.judging import Outcome

SHOP = Account(name="shop", provider="nebulox", base_url="http://h", api_key="k")


@dataclass
class MemoryStore:
    """Keeps what it is given; ``faults`` are raised by the next calls of ``add_orders``."""

    orders: dict = field(default_factory=dict)
    rejected: dict = field(default_factory=dict)
    batches: list = field(default_factory=list)
    cancelled: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    verdict: str = "applied"
    status: str = "pending"

    def add_orders(self, orders, rejections=()):
        self.batches.append(len(orders))
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        self.reject(rejections)
        return [self._add(order) for order, _ in orders]

    def _add(self, order):
        key = (order.account, order.idempotency_key)
        there = self.orders.setdefault(key, order)
        if there is order:
            return Added(order.order_id, "accepted", "inv_1")
        if there.digest() == order.digest():
            return Added(order.order_id, "repeated", "inv_1")
        return Added(order.order_id, "refused", "inv_1", "idempotency_key: used before with other content")

    def reject(self, rejections):
        for rejection in rejections:
            self.rejected.setdefault(rejection.message_key, rejection)

    def find(self, account, *, order_id=None, idempotency_key=None):
        found = [o for o in self.orders.values() if o.account == account]
        return next((f"inv_{o.order_id}" for o in found if order_id in (None, o.order_id)), None)

    def judge(self, judgements):
        self.cancelled += [(judgement.invoice_id, judgement.evidence) for judgement in judgements]
        return [Outcome(judgements[0].invoice_id, self.verdict, self.status)]


class Checker:
    """A provider that wants a price, and trips over one order id."""

    def check_order(self, order, account):
        if order.order_id == "bug":
            raise ZeroDivisionError
        if order.price is None:
            raise OrderError("price: is required by nebulox")


def order(**fields):
    return {"account": "shop", "order_id": "A-1", "price": Decimal("9.90"), "currency": "EUR"} | fields


def message(task="create", key="key-1", expires=None, **fields):
    return IntakeMessage(f"invoices.{task}", write_json(fields), key, expires)
