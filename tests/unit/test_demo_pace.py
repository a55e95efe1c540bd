"""How the demo queues its orders."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from workers.cli.demo import command, report, view
from workers.cli.demo.orders import make_orders
from workers.cli.demo.report import Progress

if TYPE_CHECKING:
    from workers.cli.demo.stand import Stand


class Shop:
    """Stands where the publisher does and keeps what it was sent; tells a progress for each look."""

    def __init__(self, *told):
        self.sent = []
        self._told = iter(told)

    def __call__(self, *_, **__):
        return contextlib.nullcontext(self)

    def send(self, task, body):
        assert task == "invoices.create_many"
        self.sent.append([order["order_id"] for order in body["orders"]])

    def look(self, database):
        return Progress(*next(self._told))


@pytest.fixture
def run_demo(monkeypatch):
    def run(shop, orders):
        monkeypatch.setattr("workers.cli.publisher.Publisher", shop)
        monkeypatch.setattr(report, "look", shop.look)
        monkeypatch.setattr("workers.cli.watch.Lookout", lambda: SimpleNamespace(look=lambda *_: None))
        monkeypatch.setattr(view, "draw", lambda *_: None)
        monkeypatch.setattr(command, "TICK_SECONDS", 0)
        stand = SimpleNamespace(failed=[], config=None, database=None)
        command._run(cast("Stand", stand), orders, 60, threading.Event(), quiet=True)

    return run


def test_the_first_order_goes_alone_until_its_provider_has_answered(run_demo):
    """The fault `duplicate` tells of an order that was made before: with none there is nothing to see."""
    orders = list(make_orders(30))
    shop = Shop(({}, 0, 0, 0), ({"queued": 1}, 0, 0, 0), ({"pending": 1}, 1, 0, 0),
                ({"pending": 1, "queued": 25}, 1, 0, 0), ({"paid": 30}, 60, 0, 0))  # fmt: skip
    run_demo(shop, orders)
    names = [order.fields["order_id"] for order in orders]
    assert shop.sent == [names[:1], names[1:26], names[26:]]


def test_a_demo_of_one_order_ends_with_it(run_demo):
    shop = Shop(({"pending": 1}, 1, 0, 0), ({"paid": 1}, 2, 0, 0))
    run_demo(shop, list(make_orders(1)))
    assert shop.sent == [["d-0001"]]
