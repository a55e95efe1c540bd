"""What was ordered, found again by its digest. Pure.

A row keeps an order's digest but no copy of it, and answers and fallback accounts change some of its fields. So each
order that the row may have come from is made, until one has the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from itertools import islice, permutations, product
from typing import Protocol

from domain.exact_json import read_json, write_json
from domain.money import plain_value

#: Orders that are tried.
MOST = 20_000
#: Accounts among which the order's other ones are looked for, where only their names were given.
MOST_ACCOUNTS = 8

Fields = Mapping[str, object]


class Ordered(Protocol):
    """The columns of an invoice that come from its order."""

    account: str
    provider_account: str
    order_id: str
    digest: str
    price: Decimal | None
    currency: str | None
    pay_currency: str | None
    network: str | None
    lifetime_minutes: Decimal | None
    params: str
    metadata_json: str
    fallbacks: str | None


def ordered(invoice: Ordered, accounts: Collection[str]) -> str | None:
    """The order's content as ``Order.digest`` takes it, in JSON; None where it is not found. ``accounts``: that there
    are."""
    same = {"account": invoice.account, "order_id": invoice.order_id, "metadata": read_json(invoice.metadata_json)}
    for fields in islice(_candidates(invoice, sorted(accounts)), MOST):
        text = write_json({**same, **fields}, sort_keys=True)
        if hashlib.sha256(text.encode()).hexdigest() == invoice.digest:
            return text
    return None


def _candidates(invoice: Ordered, accounts: list[str]) -> Iterator[Fields]:
    """The likeliest first."""
    moved = invoice.provider_account != invoice.account
    prices = dict.fromkeys([(_plain(invoice.price), invoice.currency), (None, invoice.currency), (None, None)])
    coins = dict.fromkeys([invoice.pay_currency, invoice.pay_currency and invoice.pay_currency.upper(), None])
    networks, lifetimes = (
        dict.fromkeys([invoice.network, None]),
        dict.fromkeys([None, _plain(invoice.lifetime_minutes)]),
    )
    params = [read_json(invoice.params), *([{}] if moved else [])]
    for others in _fallbacks(invoice, accounts):
        for (price, currency), coin, network, minutes, given in product(prices, coins, networks, lifetimes, params):
            yield {
                "price": price,
                "currency": currency,
                "pay_currency": coin,
                "network": network,
                "lifetime_minutes": minutes,
                "params": given,
                "fallback_accounts": others,
            }


def _fallbacks(invoice: Ordered, accounts: list[str]) -> Iterator[list[Fields] | None]:
    """The order's other accounts: those that are left, the one that it came to, or any, by their names."""
    if invoice.fallbacks:
        yield from _entries(invoice, read_json(invoice.fallbacks))
        return
    if invoice.provider_account == invoice.account:
        yield None
    else:
        own = {"account": invoice.provider_account, "price": _plain(invoice.price), "currency": invoice.currency}
        yield from _entries(invoice, [own | {"params": read_json(invoice.params)}])
    others = [one for one in accounts if one != invoice.account][:MOST_ACCOUNTS]
    for some in (*permutations(others, 1), *permutations(others, 2)):
        yield [_entry(one) for one in some]


def _entries(invoice: Ordered, resolved: list[Fields]) -> Iterator[list[Fields]]:
    """Of entries with all that they stand for: as they may have been given, from names alone on."""
    choices = []
    for one in resolved:
        price = one["price"] and plain_value(Decimal(str(one["price"])))
        given = product((None, price), (None, one["currency"]), (None, one["params"]))
        choices.append([_entry(str(one["account"]), *each) for each in given])
    for some in product(*choices):
        yield list(some)


def _entry(account: str, price: object = None, currency: object = None, params: object = None) -> Fields:
    return {"account": account, "price": price, "currency": currency, "params": params}


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else plain_value(amount)
