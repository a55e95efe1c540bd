"""A whole worker under a budget for look-ups: a callback's look-up does not wait for thousands that are due, and none
of its calls is beyond the budget."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from domain.account import Account
from domain.decision import Stage
from domain.looks import Look, lane_of
from tests.callbacks import nebulox_callback
from tests.contracts.store_cases import created, invoice_of, order, policy, rows, take
from tests.over_httpx import OverHttpx
from tests.servers import wait_until
from workers.coordination.connections import open_async_redis
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.engine import Pump
from workers.http.client import LeanClient
from workers.providers.call import Call
from workers.providers.registry import build_providers
from workers.stages import ProviderStages, callbacks
from workers.store.callbacks import NewCallback
from workers.store.judging import Judgement
from workers.store.store import Store
from workers.store.tables import AGENDA, CALLBACK, INVOICE

SHOP, RATE, WAITING = "nebulox", 5.0, 5000
PAID_CODE = "777"
DEADLINE_SECONDS = 180  #: in turn the last of them would be looked at after a thousand seconds


class Gateway:
    """Nebulox, for which one order is paid and all others wait."""

    def __init__(self) -> None:
        self.asked: list[str] = []  #: tracking codes, in the order of the calls
        self.paid_order = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        code = str(json.loads(request.content)["trackingCode"])
        self.asked.append(code)
        paid = code == PAID_CODE
        result = {"orderId": self.paid_order if paid else f"order-{code}", "price": "10.50", "baseCurrency": "EUR"}
        return httpx.Response(200, json={"result": result | {"status": "COMPLETED" if paid else "PENDING"}})


class Worker:
    """The stages that callbacks and look-ups need."""

    def __init__(self, database: Any, redis_url: str) -> None:
        self.gateway = Gateway()
        self.claimed = 0
        self.begun = 0.0
        self.given_back = 0
        limits = policy(asked_by_reference=True, look_ups_per_second=RATE)
        self.store = Store(database, {SHOP: limits}, self._ring)
        self.account = Account(
            name=SHOP, provider=SHOP, base_url="http://gateway.test", api_key="k", look_ups_per_second=RATE
        )
        self._redis_url = redis_url
        self.pump = Pump(self._open, self.store.next_due, self._give_back, lambda _: None)

    def _ring(self, lane: Any) -> None:
        self.pump.wake(lane)

    def _give_back(self, claims: Any) -> None:
        self.given_back += len(claims)
        self.store.release(claims)

    async def _open(self, stack: Any) -> Any:
        client = open_async_redis(self._redis_url)
        stack.push_async_callback(client.aclose)
        web = await stack.enter_async_context(LeanClient(OverHttpx(httpx.MockTransport(self.gateway))))
        providers, accounts = build_providers(Call(web)), {SHOP: self.account}
        budget = LookUpBudget(client, {SHOP: RATE})
        stages = ProviderStages(self.store, accounts, providers, RateLimit(client, {}), budget)
        return [*stages.works(), callbacks(self.store, accounts, providers)]

    def call_back(self, order_id: str) -> list[bool]:
        body = nebulox_callback(order_id, trackingCode=int(PAID_CODE))
        digest = hashlib.sha256(body).hexdigest()
        told: dict[str, Any] = {"order_id": order_id, "reference": PAID_CODE, "word": "COMPLETED", "amount": None}
        return self.store.keep_callbacks([NewCallback(account=SHOP, digest=digest, body=body, headers="{}", **told)])


@pytest.fixture
def worker(database, empty_valkey_url):
    """With five thousand invoices whose look-ups have been due for an hour, and a last one that is not due yet."""
    worker = Worker(database, empty_valkey_url)
    (mine,) = take(worker.store, order("mine", account=SHOP))
    worker.store.judge([Judgement(mine, created())])
    worker.gateway.paid_order = "mine"
    with database.transaction() as connection:
        one = dict(connection.execute(select(INVOICE)).mappings().one())
        due_at = one["created_at"] - (one["expires_at"] - one["created_at"])
        keys = [f"{mine[:-8]}{number:08x}" for number in range(WAITING)]
        connection.execute(
            insert(INVOICE),
            [
                one
                | {"id": key, "order_id": f"order-{place + 1000}", "idempotency_key": key, "provider_ref": key}
                | {"asked_by": f'["{place + 1000}"]'}
                for place, key in enumerate(keys)
            ],
        )
        check = {"stage": Stage.CHECK.value, "lane": SHOP, "due_at": due_at, "claims": 0, "pokes": 0}
        connection.execute(insert(AGENDA), [check | {"subject": key} for key in keys])
    worker.begun = time.monotonic()
    worker.pump.start()
    yield worker
    worker.pump.stop(5)


def test_the_look_up_after_a_callback_is_made_at_once_while_five_thousand_are_due(database, worker):
    wait_until(lambda: len(worker.gateway.asked) > RATE, "look-ups in turn", DEADLINE_SECONDS)
    (mine,) = rows(database, INVOICE, INVOICE.c.order_id == "mine")
    assert worker.call_back("mine") == [True]
    wait_until(lambda: invoice_of(database, mine.id).status == "paid", "the payment is seen", DEADLINE_SECONDS)

    asked = list(worker.gateway.asked)
    assert asked.count(PAID_CODE) == 1
    assert len(set(asked)) == len(asked)  # nobody was asked about twice while others wait
    assert len(asked) <= RATE * (time.monotonic() - worker.begun) + RATE
    assert worker.given_back == 0

    assert worker.call_back("mine") == [False]  # the same bytes once more
    wait_until(lambda: len(worker.gateway.asked) > len(asked) + RATE, "more in turn", DEADLINE_SECONDS)
    assert worker.gateway.asked.count(PAID_CODE) == 1
    assert [row.state for row in rows(database, CALLBACK)] == ["matched"]
    assert rows(database, AGENDA, AGENDA.c.lane == lane_of(SHOP, Look.CALLED)) == []
