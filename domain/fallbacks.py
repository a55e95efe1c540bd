"""Fallback accounts: other accounts at which an order may be made. Checked when it comes, stored, taken in turn.

The lifecycle decides when it is the next one's turn (``deploy/decisions/0022``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from domain.account import Account
from domain.decision import Changes, InvoiceView, Policy
from domain.exact_json import read_json, write_json
from domain.money import format_amount
from domain.order import Order, OrderError, check_price


class Turn(NamedTuple):
    """The next account of an order: the changes to its invoice, and the accounts that were skipped."""

    changes: Changes | None  #: None: there is no other account to try
    skipped: Sequence[str]  #: accounts that are no longer configured


def orders_of(order: Order) -> list[Order]:
    """The order as each of its other accounts would get it."""
    return [
        order.model_copy(
            update={
                "account": other.account,
                "price": order.price if other.price is None else other.price,
                "currency": other.currency or order.currency,
                "params": order.params if other.params is None else other.params,
                "fallback_accounts": None,
            }
        )
        for other in order.fallback_accounts or ()
    ]


def check_fallbacks(order: Order, accounts: Mapping[str, Account], check: Callable[[Order, Account], None]) -> None:
    """Raise OrderError, naming the entry, if one of the other accounts can't take the order.

    ``lifetime_minutes`` is not checked: it only counts at providers that give no expiry.
    """
    for place, other in enumerate(orders_of(order)):
        try:
            account = accounts.get(other.account)
            if account is None:
                raise OrderError(f"there is no account {other.account!r}")
            check_price(other, account)
            check(other.model_copy(update={"lifetime_minutes": None}), account)
        except OrderError as error:
            raise OrderError(f"fallback_accounts.{place}: {error}") from None


def write_fallbacks(order: Order) -> str | None:
    """What is stored with the invoice: each account, with everything that it would be asked for."""
    entries = [
        {
            "account": other.account,
            "price": None if other.price is None else format_amount(other.price),
            "currency": other.currency,
            "params": other.params,
        }
        for other in orders_of(order)
    ]
    return write_json(entries) if entries else None


def next_turn(invoice: InvoiceView, policy: Policy) -> Turn:
    """Whose turn it is after the invoice's current account."""
    left = read_json(invoice.fallbacks) if invoice.fallbacks else []
    skipped = []
    while left:
        entry, left = left[0], left[1:]
        account = entry["account"]
        if account not in policy.providers:
            skipped.append(account)
            continue
        changes: Changes = {
            "provider_account": account,
            "provider": policy.providers[account],
            "price": None if entry["price"] is None else Decimal(entry["price"]),
            "currency": entry["currency"],
            "params": write_json(entry["params"]),
            "fallbacks": write_json(left) if left else None,
        }
        return Turn(changes, skipped)
    return Turn(None, skipped)
