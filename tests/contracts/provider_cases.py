"""For every provider: an account, a good order, and recorded answers. A new provider adds a case."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from domain.account import Account
from domain.order import parse_order
from domain.ports import CreateRequest, ListReader
from tests.over_httpx import OverHttpx
from workers.http.client import LeanClient
from workers.providers.call import Call, open_client
from workers.providers.registry import PROVIDERS, Adapter

PLAIN_KEY = "s3cret-k3y/1"
NOW = datetime(2025, 11, 25, 19, 45, 48, tzinfo=UTC)

NEBULOX_MADE = """{
  "message": "Operation was successful.",
  "result": {
      "price": 10, "orderId": "DGK-324324", "status": "PENDING",
      "gatewayId": "41c6fe17-b72f-4923-9da2-dc7a91173e73", "userId": "d6646cf8-0b65-4d7d-ab2b-02e8dcd1ede3",
      "addressId": null, "amount": null, "coinId": null, "networkId": null, "info": null,
      "id": "5c5a7933-51ad-4542-b0b6-9157552e8230",
      "created_at": "2023-02-13T12:18:00.672Z", "updated_at": "2023-02-13T12:18:00.672Z",
      "url": "https://nebulox.io/invoice/5c5a7933-51ad-4542-b0b6-9157552e8230"
  },
  "meta": {}
}"""

ZEROXHOST_MADE = """{
"success": true,
"transaction": {"id": "5763d0d0-ca37-11f0-8cdf-525400792197", "success": true},
"message": "Operation completed successfully!",
"data": {
"track_id": "110816020", "amount": 89.97, "currency": "EUR", "pay_amount": 0.0358619204, "pay_currency": "ETH",
"network": "Ethereum Network", "address": "0x7717324E33798466298275C82711084B452A8179", "qr_code": "URL",
"lifetime": 90, "expired_at": 1764105348, "order_id": "594948ab-bb26-11f0-8cae-525400792197", "date": 1764099948
}
}"""


@dataclass(frozen=True)
class Case:
    """What the suite needs to know about a provider."""

    provider: str
    adapter: type[Adapter]
    order: dict[str, Any]
    success: int  #: the documented status of a create
    made: str  #: a recorded answer
    ref: str  #: its provider_ref
    refused: tuple[int, str]  #: an order refused, as the provider says it

    def account(self, base_url: str = "https://provider.test", **settings: Any) -> Account:
        fields = {"name": "main", "provider": self.provider, "base_url": base_url, "api_key": PLAIN_KEY}
        return Account.model_validate(fields | settings)

    def request(self, **changes: Any) -> CreateRequest:
        order = parse_order({"account": "main", **self.order, **changes})
        return CreateRequest(
            invoice_id="inv_1",
            order_id=order.order_id,
            price=order.price,
            currency=order.currency,
            pay_currency=order.pay_currency,
            network=order.network,
            params=order.params,
        )


CASES = {
    "nebulox": Case(
        provider="nebulox",
        adapter=PROVIDERS["nebulox"],
        order={"order_id": "DGK-324324", "price": Decimal(10), "currency": "usd"},
        success=201,
        made=NEBULOX_MADE,
        ref="5c5a7933-51ad-4542-b0b6-9157552e8230",
        refused=(400, '{"message": ["price must be positive"], "result": [], "meta": {}}'),
    ),
    "zeroxhost": Case(
        provider="zeroxhost",
        adapter=PROVIDERS["zeroxhost"],
        order={"order_id": "o-1", "params": {"user_id": "user12345-6789", "server_id": "server12345-6789"}},
        success=200,
        made=ZEROXHOST_MADE,
        ref="110816020",
        refused=(200, '{"success": false, "message": "User not found", "data": []}'),
    ),
}


def edited(text: str, *path: str, **changes: Any) -> str:
    """A recorded answer with fields of the object at ``path`` changed; ``...`` removes one."""
    document = json.loads(text)
    target = document
    for name in path:
        target = target[name]
    for name, value in changes.items():
        if value is ...:
            del target[name]
        else:
            target[name] = value
    return json.dumps(document)


class Recorded:
    """A provider that is a list of answers; keeps the requests it was sent."""

    def __init__(self, *answers: tuple[int, str | bytes] | httpx.Response | Callable[[httpx.Request], httpx.Response]):
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, tuple):
            return httpx.Response(answer[0], content=answer[1])
        return answer if isinstance(answer, httpx.Response) else answer(request)


def create_recorded(case: Case, *answers: Any, account: Account | None = None, **order: Any):
    """(evidence, the requests sent) of one create against recorded answers."""
    recorded = Recorded(*answers)

    async def story():
        async with LeanClient(OverHttpx(httpx.MockTransport(recorded))) as client:
            adapter = case.adapter(Call(client, clock=lambda: NOW))
            return await adapter.create(case.request(**order), account or case.account())

    return asyncio.run(story()), recorded.requests


def look_up_recorded(
    case: Case, refs: list[str], *answers: Any, account: Account | None = None, calls: int | None = None
):
    """(answers by ref, the requests sent) of one look-up against recorded answers; ``calls``: no more than these."""
    recorded = Recorded(*answers)

    async def story():
        async with LeanClient(OverHttpx(httpx.MockTransport(recorded))) as client:
            adapter = case.adapter(Call(client, clock=lambda: NOW))
            if calls is not None:
                assert isinstance(adapter, ListReader)
                return await adapter.look_up_within(calls, refs, account or case.account())
            return await adapter.look_up(refs, account or case.account())

    return asyncio.run(story()), recorded.requests


async def create_for_real(case: Case, account: Account):
    """One create through the client that production uses."""
    client = open_client(10)
    try:
        return await case.adapter(Call(client)).create(case.request(), account)
    finally:
        await client.aclose()
