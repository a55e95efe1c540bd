"""What Nebulox's documents show of its answers and callbacks. What they don't is told as drift."""

from __future__ import annotations

from domain.account import Account
from domain.drift import (
    FLAG,
    NUMBER,
    SCALAR,
    TEXT,
    TEXT_OR_NULL,
    Documented,
    Shape,
    Words,
    amount,
    currencies,
    group,
    networks,
    one_of,
    word,
)
from workers.providers.nebulox.statuses import STATUSES

#: Of the coins it takes Ethereum's has the most; prices are echoes of the order's.
DECIMALS = 18
_AMOUNT = amount(DECIMALS, str, type(None))
_STATUS = word(Words("status", frozenset(STATUSES)))
_MESSAGE = one_of(str, list)
_META = group({}, or_list=True, or_null=True)


def documented(account: Account) -> Documented:
    """By call. What the account itself names counts, too."""
    coins = currencies(*account.currencies or (), *account.pay_currencies or ())
    networks_ = networks(*account.networks or ())
    return {"create": _create(coins), "look-up": _verified(coins, networks_), "callback": _called(coins, networks_)}


def _create(coins: Words) -> Shape:
    names = ("gatewayId", "userId", "addressId", "coinId", "networkId", "info", "id", "url", "created_at", "updated_at")
    result = dict.fromkeys(names, SCALAR) | {
        "price": _AMOUNT,
        "amount": _AMOUNT,
        "orderId": SCALAR,
        "status": _STATUS,
        "baseCurrency": word(coins, or_null=True),
    }
    return group({"message": _MESSAGE, "result": group(result, or_list=True), "meta": _META})


def _verified(coins: Words, networks_: Words) -> Shape:
    names = ("id", "trackingCode", "orderId", "description", "gatewayId", "userId", "url", "info", "txId")
    result = dict.fromkeys((*names, "expirationDate", "created_at", "updated_at"), SCALAR) | {
        "amount": _AMOUNT,
        "paidAmount": _AMOUNT,
        "price": _AMOUNT,
        "status": _STATUS,
        "baseCurrency": word(coins, or_null=True),
        "coin": word(coins, or_null=True),
        "network": word(networks_, or_null=True),
    }
    return group({"message": _MESSAGE, "result": group(result, or_list=True), "meta": _META})


def _called(coins: Words, networks_: Words) -> Shape:
    fields = {
        "orderId": SCALAR,
        "txId": TEXT_OR_NULL,
        "amount": _AMOUNT,
        "paidAmount": _AMOUNT,
        "confirmations": NUMBER,
        "status": _STATUS,
        "type": TEXT,
        "coin": word(coins, or_null=True),
        "coinName": TEXT_OR_NULL,
        "network": word(networks_, or_null=True),
        "trackingCode": SCALAR,
        "isWallet": FLAG,
    }
    return group(fields)
