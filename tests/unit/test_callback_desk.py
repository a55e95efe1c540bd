"""The desk that takes callbacks: what comes during an insert shares the next one, and none waits for two that hang."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

from starlette.requests import Request

from domain.account import Account
from tests.callbacks import KEY, nebulox_callback, sign
from workers.providers.nebulox import callbacks as nebulox_callbacks
from workers.web import callbacks as web_callbacks
from workers.web.callbacks import CallbackDesk
from workers.web.forged import ForgedSample
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads


class Inserts:
    """A store whose first insert ends when it is told to."""

    def __init__(self):
        self.sizes = []
        self.began, self.goes_on = threading.Event(), threading.Event()

    def keep(self, callbacks):
        self.sizes.append(len(callbacks))
        self.began.set()
        assert self.goes_on.wait(30)
        return [True] * len(callbacks)


class Shelf:
    def __init__(self):
        self.bodies = []

    def put(self, account, body, headers):
        self.bodies.append(body)


def desk(keep, shelf):
    provider = SimpleNamespace(
        read_callback=nebulox_callbacks.read_callback, verify_callback=nebulox_callbacks.is_signed
    )
    shop = Account(name="shop", provider="nebulox", base_url="https://nebulox.example", api_key=KEY)
    sample = ForgedSample(lambda _: None)
    return CallbackDesk({"shop": shop}, {"nebulox": provider}, keep, shelf, StoreThreads(2), Metrics("1"), sample)


def request(order_id):
    body = nebulox_callback(order_id)

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/callbacks/shop", "headers": [(b"x-hash", sign(body).encode())]}
    return Request(scope | {"path_params": {"account": "shop"}}, receive)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - a fact of other threads, and of what the desk keeps to itself
        await asyncio.sleep(0)


def test_callbacks_that_come_during_an_insert_share_the_next_one():
    inserts, shelf = Inserts(), Shelf()

    async def call():
        taker = desk(inserts.keep, shelf)
        first = asyncio.create_task(taker.take(request("0")))
        await until(inserts.began.is_set)
        others = [asyncio.create_task(taker.take(request(f"{number + 1}"))) for number in range(30)]
        await until(lambda: len(taker._keeping._waiting) == 30)
        inserts.goes_on.set()
        return [answer.status_code for answer in await asyncio.gather(first, *others)]

    assert asyncio.run(call()) == [200] * 31
    assert (inserts.sizes, shelf.bodies) == ([1, 30], [])


def test_one_that_waits_behind_an_insert_that_hangs_goes_to_the_shelf_in_time(monkeypatch):
    monkeypatch.setattr(web_callbacks, "STORE_SECONDS", 0.05)
    inserts, shelf = Inserts(), Shelf()

    async def call():
        taker = desk(inserts.keep, shelf)
        first = asyncio.create_task(taker.take(request("0")))
        await until(inserts.began.is_set)
        second = asyncio.create_task(taker.take(request("1")))
        try:
            return [answer.status_code for answer in await asyncio.gather(first, second)]
        finally:
            inserts.goes_on.set()

    assert asyncio.run(call()) == [200, 200]
    assert sorted(shelf.bodies) == [nebulox_callback("0"), nebulox_callback("1")]


def test_more_than_can_wait_go_to_the_shelf_at_once(monkeypatch):
    monkeypatch.setattr(web_callbacks, "MOST_WAITING", 0)
    inserts, shelf = Inserts(), Shelf()

    async def call():
        return (await desk(inserts.keep, shelf).take(request("0"))).status_code

    assert asyncio.run(call()) == 200
    assert (inserts.sizes, len(shelf.bodies)) == ([], 1)
