"""What 0xhost's documents show of its answers. Anything else is told as drift."""

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
from workers.providers.zeroxhost.statuses import STATUSES

#: As in its examples: of a price, and of an amount of coins.
PRICE_DECIMALS, COIN_DECIMALS = 2, 10
_PRICE, _COINS = amount(PRICE_DECIMALS, str), amount(COIN_DECIMALS, str)
_STATUS = word(Words("status", frozenset(STATUSES)))
_MESSAGE, _SUCCESS = one_of(str, list), one_of(bool, int)
#: What look-ups and lists have besides.
_OF_ROWS = {
    **dict.fromkeys(("tx_hash", "description", "created_at", "updated_at"), TEXT_OR_NULL),
    "id": SCALAR,
    "status": _STATUS,
    "type": TEXT,
}


def documented(account: Account) -> Documented:
    """By call; a row of the list looks like a look-up's answer. Currencies and networks that the account's settings
    name count as documented."""
    common = _common(words_of(account))
    return {"create": _whole(common | {"lifetime": NUMBER}), "look-up": _whole(common | _OF_ROWS)}


def _whole(data: dict[str, Shape]) -> Shape:
    """An answer, with such an invoice as its ``data``."""
    transaction = group({"id": SCALAR, "success": FLAG}, or_null=True)
    said = {"success": _SUCCESS, "transaction": transaction, "message": _MESSAGE, "error": _MESSAGE}
    return group(said | {"data": group(data, or_list=True)})


def _common(words: AccountWords) -> dict[str, Shape]:
    return {
        "track_id": SCALAR,
        "amount": _PRICE,
        "currency": word(words.currency),
        "pay_amount": _COINS,
        "pay_currency": word(words.currency),
        "network": word(words.network),
        "address": TEXT,
        "qr_code": TEXT_OR_NULL,
        "expired_at": NUMBER,
        "order_id": SCALAR,
        "date": NUMBER,
    }
