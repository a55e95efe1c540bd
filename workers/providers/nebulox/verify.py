"""Nebulox's look-up, by the tracking code that a callback brings.

Only later pages document it, and no stored copy of them shows its field names: so path and names are settings of an
account, and an answer that can't be read counts as none, never against the account's key.
"""

from __future__ import annotations

from decimal import Decimal

from domain.account import Account
from domain.drift import Told
from domain.evidence import LookUpAnswer, RateLimited, Seen, Unreachable
from domain.exact_json import raw, write_json
from domain.status import Status
from domain.visible import one_line
from workers.http.retry_after import read_retry_after
from workers.providers.answer import Answer, Failure, read_message, unreadable
from workers.providers.call import Call
from workers.providers.fields import (
    MAX_ORDER_ID,
    MAX_REF,
    MAX_WORD,
    read_amount,
    read_currency,
    read_instant,
    read_paid,
    read_single,
    read_text,
)
from workers.providers.nebulox.statuses import STATUSES


async def verify(call: Call, code: str, account: Account) -> LookUpAnswer:
    """Ask for the invoice with this tracking code."""
    key, names = account.api_key.get_secret_value(), account.verify
    body = {names.api_key: key, names.tracking_code: raw(code) if _is_plain_number(code) else code}
    outcome = await call.send(
        "POST",
        f"{account.base_url}{names.path}",
        headers={"content-type": "application/json"},
        body=write_json(body).encode(),
        timeout_seconds=account.timeout_seconds,
        secrets=[key],
    )
    if isinstance(outcome, Failure):
        return Unreachable(reason=outcome.reason, asked_at=outcome.asked_at)
    if outcome.status >= 500:
        return Unreachable(reason=outcome.reason(read_message(outcome.json())), asked_at=outcome.asked_at)
    if outcome.status == 429:
        wait = read_retry_after(outcome.headers.get("retry-after"), outcome.asked_at)
        return RateLimited(reason=outcome.reason(), asked_at=outcome.asked_at, retry_after_seconds=wait)
    return _read_verified(outcome)


def _read_verified(answer: Answer) -> LookUpAnswer:
    payload = answer.json()
    result = read_single(payload.get("result")) if isinstance(payload, dict) and answer.succeeded else None
    words, told = read_message(payload), Told("look-up", payload) if answer.succeeded else None
    if not result:
        return unreadable(answer, words or "the answer holds no invoice", told)
    word, ref, order = result.get("status"), read_text(result.get("id"), MAX_REF), result.get("orderId")
    if not isinstance(word, str) or not word.strip():
        return unreadable(answer, "the invoice has no status", told)
    price = read_amount(result.get("price"))
    order_id = read_text(order, MAX_ORDER_ID) if not isinstance(order, Decimal) else str(order)
    if ref is None and (order_id is None or price is None):
        return unreadable(answer, "the answer does not say which invoice it is about", told)
    shown = one_line(word, MAX_WORD)
    status, paid = STATUSES.get(shown.casefold()), result.get("paidAmount")
    return Seen(
        asked_at=answer.asked_at,
        raw=answer.raw(),
        told=told,
        status=status,
        word=shown,
        paid_amount=read_paid(paid) if status is Status.PAID else read_amount(paid),
        provider_ref=ref,
        order_id=order_id,
        price=price,
        currency=read_currency(result.get("baseCurrency")),
        pay_amount=read_amount(result.get("amount")),
        pay_currency=read_currency(result.get("coin"), MAX_WORD),
        expires_at=read_instant(result.get("expirationDate")),
    )


def _is_plain_number(code: str) -> bool:
    """Callbacks may tell tracking codes as JSON numbers; such codes are sent as numbers again."""
    return code.isascii() and code.isdecimal() and (code == "0" or not code.startswith("0"))
