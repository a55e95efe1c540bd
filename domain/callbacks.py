"""What a callback is worth, and what an answer has to say to count for an invoice. Pure; the lifecycle decides.

The rules, strongest truth first:

1. A signed callback is kept, and is a reason to look at once.
2. *Paid* needs a look-up's answer that is bound to the invoice (``mismatch`` is None). "Not yet" is no contradiction:
   the look-up may lag, so it is looked again soon (``LOOK_AGAIN_SECONDS``).
3. Where no bound answer was to be had for ``callback_grace_minutes``, at once where there is nothing to ask by, the
   callback decides alone, if it fits one invoice only and nothing that can be compared contradicts (``objection``).
4. What is bound but says another price, coin or amount is a contradiction, never *paid*.
5. An older word is no news (``is_news``): nothing leaves *paid* but *refunded*.
6. Polling goes on although callbacks exist.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from domain.answers import weight
from domain.decision import Changes
from domain.echo import echoes
from domain.evidence import CalledBack, Seen
from domain.exact_json import read_json
from domain.status import Status

#: Waits between looks while a callback says more than the look-ups do; after the last one the account's own poll.
LOOK_AGAIN_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)

#: How far a payment has come: a callback with a lower rank than what is known is an older word.
_RANK = {
    Status.QUEUED: 0,
    Status.IN_DOUBT: 0,
    Status.PENDING: 1,
    Status.PARTIALLY_PAID: 2,
    Status.CONFIRMING: 3,
    Status.PAID: 4,
    Status.REFUNDED: 5,
}
#: Coins that providers also write out.
_SYMBOLS = {"bitcoin": "BTC", "litecoin": "LTC", "ethereum": "ETH", "tron": "TRX", "dogecoin": "DOGE", "tether": "USDT"}
#: Words that speak of money.
CLAIMS = frozenset({Status.PARTIALLY_PAID, Status.CONFIRMING, Status.PAID})


class Asked(Protocol):
    """What an order asked for, as far as it is known."""

    order_id: str
    provider_ref: str | None
    price: Decimal | None
    currency: str | None
    pay_amount: Decimal | None
    pay_currency: str | None
    doubts: int
    twins: str | None


class Due(Protocol):
    """What has to be paid, as far as it is known."""

    @property
    def pay_amount(self) -> Decimal | None: ...
    @property
    def pay_currency(self) -> str | None: ...


class Claim(Protocol):
    """What a callback claims was paid."""

    called_amount: Decimal | None
    called_currency: str | None


class Called(Claim, Protocol):
    """A callback as an invoice remembers it."""

    called_status: str | None
    called_word: str | None
    called_only: int | None


def is_news(status: Status, told: Status | None) -> bool:
    """Whether a callback's word says more than the invoice's status."""
    if told is None:
        return False
    if told in {Status.EXPIRED, Status.FAILED}:  # the clock and look-ups decide about those
        return status in {Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING}
    return _RANK.get(told, 0) > _RANK.get(status, 0)


def mismatch(asked: Asked, seen: Seen, tolerance_percent: Decimal = Decimal(0)) -> str | None:
    """Why a look-up's answer does not count for this invoice; None: it is bound. The first word names the kind.

    A look-up by the invoice's own reference says nothing of these: it is bound by that. An id that is not ours is a
    twin's where our own create was repeated (``doubts``), and order and price are told: a payment to either pays.
    """
    ours, theirs = asked.provider_ref, seen.provider_ref
    if seen.owner is not None:
        return f"reference: the answer is about the invoice of another order ({seen.owner})"
    if seen.order_id is not None and not echoes(asked.order_id, seen.order_id):
        return f"order: the answer is about the order {seen.order_id!r}"
    if theirs is not None and ours is not None and theirs != ours:
        is_known = asked.twins is not None and theirs in read_json(asked.twins)
        is_twin = asked.doubts > 0 and seen.order_id is not None and seen.price is not None
        if not (is_known or is_twin):
            return f"reference: the answer is about {theirs}, another invoice of the provider"
    if _differ(asked.price, seen.price):
        return f"price: the answer's is {seen.price}"
    if _other_word(asked.currency, seen.currency):
        return f"currency: the answer's is {seen.currency}"
    if _other_coin(asked.pay_currency, seen.pay_currency):
        return f"coin: the answer's is {seen.pay_currency}"
    if seen.status is Status.PAID and _short(seen.paid_amount, seen.pay_amount or asked.pay_amount, tolerance_percent):
        return f"amount: {seen.paid_amount} was paid"
    return None


def own_answer(asked: Asked, seen: Seen, tolerance_percent: Decimal = Decimal(0)) -> Seen | None:
    """Of the answers under an invoice's other references, the one that says most and is bound to it; None: none is."""
    bound = [one for one in seen.others if mismatch(asked, one, tolerance_percent) is None]
    return max(bound, key=weight, default=None)


def objection(asked: Due, claim: Claim, tolerance_percent: Decimal = Decimal(0)) -> str | None:
    """Why a callback's own claim can't pay this invoice, where it can be compared; None: nothing speaks against it."""
    if _other_coin(asked.pay_currency, claim.called_currency):
        return f"coin: the callback's is {claim.called_currency}"
    if claim.called_amount is not None and claim.called_amount <= 0:
        return f"amount: the callback's is {claim.called_amount}"
    comparable = asked.pay_currency is None or claim.called_currency is not None
    if comparable and _short(claim.called_amount, asked.pay_amount, tolerance_percent):
        return f"amount: the callback's is {claim.called_amount}"
    return None


def reading(evidence: CalledBack) -> Changes:
    """What the invoice remembers of a callback until a look-up has confirmed it."""
    return {
        "called_status": None if evidence.status is None else evidence.status.value,
        "called_word": evidence.word,
        "called_amount": evidence.paid_amount,
        "called_currency": evidence.pay_currency,
        "called_only": int(evidence.only),
    }


def _differ(one: Decimal | None, other: Decimal | None) -> bool:
    return one is not None and other is not None and one != other


def _other_word(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.strip().casefold() != other.strip().casefold()


def _other_coin(one: str | None, other: str | None) -> bool:
    return _other_word(_symbol(one), _symbol(other))


def _symbol(coin: str | None) -> str | None:
    return None if coin is None else _SYMBOLS.get(coin.strip().casefold(), coin)


def _short(paid: Decimal | None, asked: Decimal | None, tolerance_percent: Decimal) -> bool:
    return paid is not None and asked is not None and paid < asked * (100 - tolerance_percent) / 100
