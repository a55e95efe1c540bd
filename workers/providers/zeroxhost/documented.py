"""What 0xhost's documents show of its answers. What they don't is told as drift."""

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
from workers.providers.zeroxhost.statuses import STATUSES

#: As its examples have them: what is asked for in money, and in coins.
PRICE_DECIMALS, COIN_DECIMALS = 2, 10
_PRICE, _COINS = amount(PRICE_DECIMALS, str), amount(COIN_DECIMALS, str)
_STATUS = word(Words("status", frozenset(STATUSES)))
_MESSAGE, _SUCCESS = one_of(str, list), one_of(bool, int)
#: What look-ups and lists have beside.
_OF_ROWS = {
    **dict.fromkeys(("tx_hash", "description", "created_at", "updated_at"), TEXT_OR_NULL),
    "id": SCALAR,
    "status": _STATUS,
    "type": TEXT,
}


def documented(account: Account) -> Documented:
    """By call. What the account itself names counts, too. A row of the list looks like a look-up's answer."""
    coins = currencies(*account.currencies or (), *account.pay_currencies or ())
    common = _common(coins, networks(*account.networks or ()))
    return {"create": _whole(common | {"lifetime": NUMBER}), "look-up": _whole(common | _OF_ROWS)}


def _whole(data: dict[str, Shape]) -> Shape:
    """An answer that has, or may have, such an invoice in it."""
    transaction = group({"id": SCALAR, "success": FLAG}, or_null=True)
    said = {"success": _SUCCESS, "transaction": transaction, "message": _MESSAGE, "error": _MESSAGE}
    return group(said | {"data": group(data, or_list=True)})


def _common(coins: Words, known_networks: Words) -> dict[str, Shape]:
    return {
        "track_id": SCALAR,
        "amount": _PRICE,
        "currency": word(coins),
        "pay_amount": _COINS,
        "pay_currency": word(coins),
        "network": word(known_networks),
        "address": TEXT,
        "qr_code": TEXT_OR_NULL,
        "expired_at": NUMBER,
        "order_id": SCALAR,
        "date": NUMBER,
    }
