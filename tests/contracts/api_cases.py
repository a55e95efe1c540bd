"""What the tests of ``/v1`` share: the application over a store of the test's own, and services that ask it."""

from __future__ import annotations

import json
from decimal import Decimal

import httpx

from domain.account import Account
from domain.permissions import Scope
from tests.contracts.api_answers import Answers
from tests.contracts.store_cases import created, judge, open_store
from workers.delivery.secretbox import SecretBox
from workers.http.address import AddressGuard
from workers.intake.desk import Desk
from workers.providers.call import Call, open_client
from workers.providers.registry import build_providers
from workers.store.acts import Actor
from workers.store.operate.tokens import NewToken, add
from workers.store.reads.invoices import sequences_of
from workers.store.reads.why.order import Around
from workers.web.api.endpoints import Webhooks
from workers.web.api.routes import build_api
from workers.web.application import Surroundings, build_application
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
HOOK = "http://127.0.0.1:9/hook"
ADMIN = Actor("admin", "tests")
ACCOUNTS = {
    name: Account(name=name, provider=name, base_url=f"http://127.0.0.1:9/{name}", api_key="a-key")
    for name in ("nebulox", "zeroxhost")
}


def order(order_id="1001", **fields):
    """A good order of the account that can't be asked."""
    return {"account": "nebulox", "order_id": order_id, "price": "10.50", "currency": "EUR"} | fields


def add_endpoint(ask, **fields):
    """Adds an endpoint over HTTP; it as JSON, with its secret."""
    answered = ask("POST", "/v1/endpoints", json={"url": HOOK} | fields)
    assert answered.status_code == 201, answered.text
    return answered.json()


def errors_of(answered):
    """What an answer finds wrong, by the field's pointer."""
    return {error["pointer"]: error["detail"] for error in answered.json()["errors"]}


class Service:
    """The application, and the token that it is asked with."""

    def __init__(self, database):
        self.store = open_store(database)
        self.threads = StoreThreads()
        self.reset: list[str] = []  #: endpoints whose breakers were reset
        desk = Desk(self.store, ACCOUNTS, build_providers(Call(open_client(1))))
        metrics = Metrics("1")
        webhooks = Webhooks(AddressGuard("127.0.0.1"), lambda: SecretBox([KEY]), self.reset.append)
        around = Around(ACCOUNTS, lambda account: f"https://pay.example/callbacks/{account}", lambda _: {})
        self.served = build_api(self.store, desk, self.threads, metrics, webhooks, around)
        self.answers = Answers(self.served.routes)
        health = Health(self.threads, lambda: None, lambda: None)
        surroundings = Surroundings((), (), (), None)
        self.application = build_application(surroundings, health, metrics, list(self.served.routes))
        self.token = self.add_token(*Scope)
        self.reads = self.served.reads
        self.looks = 0

    def look(self, ids):
        """As those who wait do; counted."""
        self.looks += 1
        return sequences_of(self.store.database, ids)

    def waiting(self):
        """How many requests wait."""
        return len(self.reads.waiting)

    def add_token(self, *scopes, accounts=(), **more):
        """A token, ready for the header."""
        return add(self.store, ADMIN, NewToken("a service", scopes, accounts, **more))[1]

    def client(self, token=None):
        """Asks on the running loop."""
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token or self.token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60)

    async def ask(self, method, path, *, token=None, **options):
        """One request; its answer is one that the OpenAPI document tells of."""
        async with self.client(token) as client:
            return self.answers.check(await client.request(method, path, **options))

    async def send(self, fields, *, token=None, headers=None):
        """An order; what is no bytes is sent as JSON."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        return await self.ask("POST", "/v1/orders", token=token, content=body, headers=headers)

    def pend(self, invoice_id):
        """The provider has made it."""
        judge(self.store, invoice_id, created(pay_amount=Decimal("0.0358619204"), pay_currency="BTC"))

    def close(self):
        """Nothing goes on after this."""
        self.threads._executor.shutdown()
