"""Nebulox's callbacks, signed with the gateway's key. Only its later pages document them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from domain.account import Account
from domain.drift import Told
from domain.evidence import CalledBack
from domain.exact_json import JsonError, read_strict_json, write_json
from domain.ports import CallbackUnreadable, SignedSample
from domain.status import Status
from domain.visible import one_line
from workers.providers.fields import MAX_ORDER_ID, MAX_REF, MAX_URL, MAX_WORD, read_currency, read_paid, read_text
from workers.providers.nebulox.statuses import STATUSES

SIGNATURE_HEADER = "x-hash"


def is_signed(body: bytes, headers: Sequence[tuple[str, str]], account: Account) -> bool:
    """Whether exactly one ``X-Hash`` is there: the hex HMAC-SHA256 of the raw body by one of the account's keys."""
    given = [value for name, value in headers if name.lower() == SIGNATURE_HEADER]
    if len(given) != 1 or not given[0].isascii():
        return False
    # A list, so that the time does not tell which key fits.
    matches = [hmac.compare_digest(_sign(key, body), given[0]) for key in account.callback_keys()]
    return any(matches)


def _sign(key: str, body: bytes) -> str:
    return hmac.digest(key.encode(), body, hashlib.sha256).hex()


def sample_callback(account: Account) -> SignedSample:
    """A callback of a type that is about no invoice, signed with the account's current key."""
    fields = {"type": "TEST", "orderId": "invoices-callbacks-test", "status": "PENDING", "isWallet": False}
    body = write_json(fields).encode()
    signature = _sign(account.api_key.get_secret_value(), body)
    return SignedSample(body, (("content-type", "application/json"), ("X-Hash", signature)))


def read_callback(body: bytes) -> CalledBack | None:
    """What a callback says. None for one that is about no invoice. Raises CallbackUnreadable, naming the field."""
    fields = _read_object(body)
    if not _is_about_an_invoice(fields):
        return None
    order_id, word = read_text(fields.get("orderId"), MAX_ORDER_ID), fields.get("status")
    if order_id is None:
        raise CallbackUnreadable("orderId: must be a text or a whole number")
    if not isinstance(word, str) or not word.strip():
        raise CallbackUnreadable("status: must be a text")
    shown = one_line(word, MAX_WORD)
    status = STATUSES.get(shown.casefold())
    coin = fields.get("coin") if fields.get("coin") is not None else fields.get("coinName")
    paid = fields.get("paidAmount") if fields.get("paidAmount") is not None else fields.get("amount")
    return CalledBack(
        status=status,
        word=shown,
        order_id=order_id,
        reference=read_text(fields.get("trackingCode"), MAX_REF),
        paid_amount=read_paid(paid) if status in {Status.PARTIALLY_PAID, Status.PAID} else None,
        pay_currency=read_currency(coin, MAX_WORD),
        network=read_text(fields.get("network"), MAX_WORD),
        tx_hash=read_text(fields.get("txId"), MAX_URL),
        raw=body.decode("utf-8", "replace"),
        told=Told("callback", fields),
    )


def _read_object(body: bytes) -> dict[str, object]:
    try:
        fields = read_strict_json(body)
    except JsonError as error:
        raise CallbackUnreadable(f"body: {error}") from None
    if not isinstance(fields, dict):
        raise CallbackUnreadable("body: must be a JSON object")
    return fields


def _is_about_an_invoice(fields: Mapping[str, object]) -> bool:
    kind = fields.get("type")
    return not (isinstance(kind, str) and kind.upper() != "INVOICE") and fields.get("isWallet") is not True
