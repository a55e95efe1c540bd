"""What Nebulox's documents show of its answers and callbacks. Anything else is told as drift."""

from __future__ import annotations

from domain.account import Account
from domain.drift import (
    FLAG,
    NUMBER,
    SCALAR,
    TEXT,
    TEXT_OR_NULL,
    AccountWords,
    Documented,
    Shape,
    Words,
    amount,
    group,
    one_of,
    word,
    words_of,
)
from workers.providers.nebulox.statuses import STATUSES

#: ETH has the most decimals of the coins that it takes; prices are echoes of the order's.
DECIMALS = 18
_AMOUNT = amount(DECIMALS, str, type(None))
_STATUS = word(Words("status", frozenset(STATUSES)))
_MESSAGE = one_of(str, list)
_META = group({}, or_list=True, or_null=True)


def documented(account: Account) -> Documented:
    """By call. Currencies and networks that the account's settings name count as documented."""
    words = words_of(account)
    return {"create": _create(words), "look-up": _verified(words), "callback": _called(words)}


def _create(words: AccountWords) -> Shape:
    names = ("gatewayId", "userId", "addressId", "coinId", "networkId", "info", "id", "url", "created_at", "updated_at")
    result = dict.fromkeys(names, SCALAR) | {
        "price": _AMOUNT,
        "amount": _AMOUNT,
        "orderId": SCALAR,
        "status": _STATUS,
        "baseCurrency": word(words.currency, or_null=True),
    }
    return group({"message": _MESSAGE, "result": group(result, or_list=True), "meta": _META})


def _verified(words: AccountWords) -> Shape:
    names = ("id", "trackingCode", "orderId", "description", "gatewayId", "userId", "url", "info", "txId")
    result = dict.fromkeys((*names, "expirationDate", "created_at", "updated_at"), SCALAR) | {
        "amount": _AMOUNT,
        "paidAmount": _AMOUNT,
        "price": _AMOUNT,
        "status": _STATUS,
        "baseCurrency": word(words.currency, or_null=True),
        "coin": word(words.currency, or_null=True),
        "network": word(words.network, or_null=True),
    }
    return group({"message": _MESSAGE, "result": group(result, or_list=True), "meta": _META})


def _called(words: AccountWords) -> Shape:
    fields = {
        "orderId": SCALAR,
        "txId": TEXT_OR_NULL,
        "amount": _AMOUNT,
        "paidAmount": _AMOUNT,
        "confirmations": NUMBER,
        "status": _STATUS,
        "type": TEXT,
        "coin": word(words.currency, or_null=True),
        "coinName": TEXT_OR_NULL,
        "network": word(words.network, or_null=True),
        "trackingCode": SCALAR,
        "isWallet": FLAG,
    }
    return group(fields)
