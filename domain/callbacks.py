"""What a callback is worth, and when an answer counts for an invoice. Pure; the lifecycle decides.

The rules:

1. A signed callback is kept, and is a reason to look the invoice up at once.
2. *Paid* needs a look-up's answer that is bound to the invoice (``mismatch`` is None). "Not yet" is no contradiction:
   look-ups may lag, so the next one is soon (``LOOK_AGAIN_SECONDS``).
3. If there was no bound answer for ``callback_grace_minutes`` (or at once, if there is nothing to ask by), the callback
   decides alone, provided that it fits one invoice only and nothing that can be compared objects (``objection``).
   *Failed*, which is final, needs a look-up all the same.
4. A bound answer with another price, coin or amount is a contradiction, never *paid*.
5. A word that says less than the status is no news (``is_news``). *Paid* changes only to *refunded*.
6. Polling goes on although callbacks exist.

An invoice remembers one callback's word, in its ``called_…`` fields, and the word waits until one of these happens:

- A bound answer says as much, or more: the word is confirmed, and forgotten (``lifecycle/moves.py: move``).
- A bound answer says less: another look-up soon, and the grace begins anew (``look_ups.py: _heard``, ``_look_again``).
- No look-up is answered until the grace is over, or there is nothing to ask by: the word decides alone, and is
  forgotten (``lifecycle/callbacks.py: alone``). If it may be another invoice's (``called_only`` 0), it is kept as one
  that matches none (``give_back``), and polling goes on.
- The answer is about something else: the word is forgotten (``_unbound``), or no longer decides alone (``_beside``).
- A callback with more news comes: its word takes the place, and the grace begins anew (``called_back``).
- The invoice ends by something else: the word is judged once more, so that somebody hears of it (``dropped``).
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

#: Waits between look-ups while a callback says more than they do; after the last one the account's polling goes on.
LOOK_AGAIN_SECONDS: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)

#: How far a payment has come: a callback with a lower rank than the invoice's is out of date.
_RANK = {
    Status.QUEUED: 0,
    Status.IN_DOUBT: 0,
    Status.PENDING: 1,
    Status.PARTIALLY_PAID: 2,
    Status.CONFIRMING: 3,
    Status.PAID: 4,
    Status.REFUNDED: 5,
}
#: Coins whose names providers also write out.
_SYMBOLS = {"bitcoin": "BTC", "litecoin": "LTC", "ethereum": "ETH", "tron": "TRX", "dogecoin": "DOGE", "tether": "USDT"}
#: Statuses that say that money was paid.
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

    called_status: str | None
    called_amount: Decimal | None
    called_currency: str | None


class Called(Claim, Protocol):
    """A callback as an invoice remembers it."""

    called_word: str | None
    called_only: int | None


def is_news(status: Status, told: Status | None) -> bool:
    """Whether a callback's status (``told``) says more than the invoice's."""
    if told is None:
        return False
    if told in {Status.EXPIRED, Status.FAILED}:
        return status in {Status.PENDING, Status.PARTIALLY_PAID, Status.CONFIRMING}
    return _RANK.get(told, 0) > _RANK.get(status, 0)


def mismatch(asked: Asked, seen: Seen, tolerance_percent: Decimal = Decimal(0)) -> str | None:
    """Why a look-up's answer does not count for this invoice, as ``kind: words``; None: it is bound.

    A look-up by the invoice's own reference tells none of the fields that are compared: it is bound by the reference.
    If our create was repeated (``doubts``), an answer about another id that tells our order and a price is about a
    twin: a payment to either pays the order.
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
    due = seen.pay_amount or asked.pay_amount
    if seen.status is Status.PAID and (seen.paid_amount == 0 or _short(seen.paid_amount, due, tolerance_percent)):
        return f"amount: {seen.paid_amount} was paid"
    return None


def own_answer(asked: Asked, seen: Seen, tolerance_percent: Decimal = Decimal(0)) -> Seen | None:
    """Of the answers by an invoice's other references, the one that is bound to it and tells most; None: none is."""
    bound = [one for one in seen.others if mismatch(asked, one, tolerance_percent) is None]
    return max(bound, key=weight, default=None)


def objection(asked: Due, claim: Claim, tolerance_percent: Decimal = Decimal(0)) -> str | None:
    """Why a callback's own claim can't pay this invoice, as far as it can be compared; None: nothing objects."""
    if _other_coin(asked.pay_currency, claim.called_currency):
        return f"coin: the callback's is {claim.called_currency}"
    if claim.called_amount is not None and claim.called_amount <= 0:
        return "amount: the callback's is no number above 0"
    whole = claim.called_status != Status.PARTIALLY_PAID  # a part is less than what was asked for
    comparable = whole and (asked.pay_currency is None or claim.called_currency is not None)
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
