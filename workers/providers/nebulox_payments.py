"""How Nebulox tells of payments: callbacks signed with the gateway's key, and a look-up by what they bring.

Both are documented in its later pages only, and the look-up's field names survived in no stored copy: path and names
are an account's settings, and what can't be read counts as no answer, never against the account's key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from decimal import Decimal

from domain.account import Account
from domain.evidence import CalledBack, LookUpAnswer, RateLimited, Seen, Unreachable, Unreadable
from domain.exact_json import JsonError, raw, read_strict_json, write_json
from domain.ports import CallbackUnreadable, SignedSample
from domain.status import Status
from workers.providers.answer import Answer, Failure, one_line, read_message, read_retry_after
from workers.providers.call import Call
from workers.providers.fields import MAX_REF, MAX_URL, MAX_WORD, read_amount, read_currency, read_single, read_text

SIGNATURE_HEADER = "x-hash"

#: The provider's words, compared without case. A word that is not here changes nothing.
STATUSES: Mapping[str, Status] = {
    "pending": Status.PENDING,
    "partial": Status.PARTIALLY_PAID,
    "completed": Status.PAID,
    "expired": Status.EXPIRED,
}
MAX_ORDER_ID = 255


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


def is_signed(body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
    """Whether exactly one ``X-Hash`` holds the hex HMAC-SHA256 of the raw body, by the gateway's key as text."""
    given = [value for name, value in headers if name.lower() == SIGNATURE_HEADER]
    if len(given) != 1 or not given[0].isascii():
        return False
    matches = [hmac.compare_digest(_sign(key, body), given[0]) for key in account.callback_keys()]
    return any(matches)


def _sign(key: str, body: bytes) -> str:
    return hmac.digest(key.encode(), body, hashlib.sha256).hex()


def sample_callback(account: Account) -> SignedSample:
    """A callback of a type that is about no invoice, signed with the account's key of today."""
    fields = {"type": "TEST", "orderId": "invoices-callbacks-test", "status": "PENDING", "isWallet": False}
    body = write_json(fields).encode()
    signature = _sign(account.api_key.get_secret_value(), body)
    return SignedSample(body, (("content-type", "application/json"), ("X-Hash", signature)))


def read_callback(body: bytes) -> CalledBack | None:
    """What a callback says. None for one that is about no invoice. Raises CallbackUnreadable, naming the field."""
    try:
        fields = read_strict_json(body)
    except JsonError as error:
        raise CallbackUnreadable(f"body: {error}") from None
    if not isinstance(fields, dict):
        raise CallbackUnreadable("body: must be a JSON object")
    kind = fields.get("type")
    if (isinstance(kind, str) and kind.upper() != "INVOICE") or fields.get("isWallet") is True:
        return None
    order_id, word = read_text(fields.get("orderId"), MAX_ORDER_ID), fields.get("status")
    if order_id is None:
        raise CallbackUnreadable("orderId: must be a text or a whole number")
    if not isinstance(word, str) or not word.strip():
        raise CallbackUnreadable("status: must be a text")
    shown = one_line(word)[:MAX_WORD]
    status = STATUSES.get(shown.casefold())
    coin = fields.get("coin") if fields.get("coin") is not None else fields.get("coinName")
    paid = fields.get("paidAmount") if fields.get("paidAmount") is not None else fields.get("amount")
    return CalledBack(
        status=status,
        word=shown,
        order_id=order_id,
        reference=read_text(fields.get("trackingCode"), MAX_REF),
        paid_amount=read_amount(paid) if status in {Status.PARTIALLY_PAID, Status.PAID} else None,
        pay_currency=read_currency(coin, MAX_WORD),
        tx_hash=read_text(fields.get("txId"), MAX_URL),
        raw=body.decode("utf-8", "replace"),
    )


def _read_verified(answer: Answer) -> LookUpAnswer:
    payload = answer.json()
    result = read_single(payload.get("result")) if isinstance(payload, dict) and answer.succeeded else None
    words = read_message(payload)
    if not result:
        return _unreadable(answer, words or "the answer holds no invoice")
    word, ref, order = result.get("status"), read_text(result.get("id"), MAX_REF), result.get("orderId")
    if not isinstance(word, str) or not word.strip():
        return _unreadable(answer, "the invoice has no status")
    price = read_amount(result.get("price"))
    order_id = read_text(order, MAX_ORDER_ID) if not isinstance(order, Decimal) else str(order)
    if ref is None and (order_id is None or price is None):
        return _unreadable(answer, "the answer does not say which invoice it is about")
    shown = one_line(word)[:MAX_WORD]
    return Seen(
        asked_at=answer.asked_at,
        raw=answer.raw(),
        status=STATUSES.get(shown.casefold()),
        word=shown,
        paid_amount=read_amount(result.get("paidAmount")),
        provider_ref=ref,
        order_id=order_id,
        price=price,
        currency=read_currency(result.get("baseCurrency")),
        pay_amount=read_amount(result.get("amount")),
        pay_currency=read_currency(result.get("coin"), MAX_WORD),
    )


def _unreadable(answer: Answer, words: str) -> Unreadable:
    """No answer to be had: says nothing of the account, nor of the invoice."""
    return Unreadable(reason=answer.reason(words), asked_at=answer.asked_at, raw=answer.raw())


def _is_plain_number(code: str) -> bool:
    """Callbacks tell tracking codes as JSON numbers; they are sent as they came."""
    return code.isascii() and code.isdecimal() and (code == "0" or not code.startswith("0"))
