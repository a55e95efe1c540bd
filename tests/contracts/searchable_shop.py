"""A made-up provider that is searched by our order id, as BTCPay Server is: ``GET /invoices?orderId=…``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.account import Account
from domain.evidence import CreateAnswer, Created, SearchAnswer, SearchFailed
from domain.exact_json import write_json
from domain.ports import CreateRequest, NextCall
from domain.status import Status
from workers.providers.answer import Answer, doubt
from workers.providers.call import Call
from workers.providers.fields import MAX_ADDRESS, MAX_REF, read_amount, read_text
from workers.providers.found import Candidate, conclude
from workers.providers.refusal import Refusals, read_create, read_refused_account

REFUSALS = Refusals(key_statuses=frozenset({401}), is_own=lambda payload: "error" in payload)
STATUSES = {"New": Status.PENDING, "Settled": Status.PAID, "Expired": Status.EXPIRED}


class SearchableShop:
    """Enough of an adapter for CREATE."""

    name = "searchable"
    can_be_asked = True
    asked_by_reference = False

    def __init__(self, call: Call) -> None:
        self._call = call

    @staticmethod
    def can_search(_account: Account) -> bool:
        return True

    async def create(self, request: CreateRequest, account: Account) -> CreateAnswer:
        body = {"orderId": request.order_id, "price": str(request.price), "currency": request.currency}
        outcome = await self._send(account, "POST", "", write_json(body).encode())
        return read_create(outcome, REFUSALS, _read_made)

    async def find(
        self, request: CreateRequest, account: Account, since: datetime, _next_call: NextCall
    ) -> SearchAnswer:
        outcome = await self._send(account, "GET", f"?orderId={request.order_id}", None)
        if not isinstance(outcome, Answer):
            return SearchFailed(reason=outcome.reason)
        refused = read_refused_account(outcome, REFUSALS)
        if refused is not None:
            return refused
        rows = outcome.json()
        if not outcome.succeeded or not isinstance(rows, list):
            return SearchFailed(reason=outcome.reason("no list"))
        ours = [row for row in rows if row["orderId"] == request.order_id]
        return conclude([_candidate(row, request) for row in ours], since)

    async def _send(self, account: Account, method: str, query: str, body: bytes | None) -> Any:
        url, headers = f"{account.base_url}/invoices{query}", {"content-type": "application/json"}
        return await self._call.send(method, url, headers=headers, body=body, timeout_seconds=account.timeout_seconds)


def _read_made(answer: Answer) -> CreateAnswer:
    row = answer.json()
    if not isinstance(row, dict) or "id" not in row:
        return doubt(answer, "no invoice")
    return _created(row)


def _created(row: Any) -> Created:
    address = read_text(row.get("address"), MAX_ADDRESS)
    return Created(provider_ref=read_text(row["id"], MAX_REF) or "", address=address, price=read_amount(row["price"]))


def _candidate(row: Any, request: CreateRequest) -> Candidate:
    made_at = datetime.fromtimestamp(row["createdTime"], UTC)
    differs = "" if read_amount(row["price"]) == request.price else "price"
    return Candidate(row["id"], made_at, _created(row), STATUSES.get(row["status"]), differs)
