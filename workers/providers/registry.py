"""The registry: each provider has a folder beside this file, and a line in PROVIDERS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from domain.account import Account
from domain.order import Order
from domain.ports import Provider, SignedSample
from workers.providers.call import Call
from workers.providers.nebulox.adapter import Nebulox
from workers.providers.zeroxhost.adapter import ZeroxHost


class Adapter(Provider, Protocol):
    """A provider's adapter class, with what can be asked of it without a connection."""

    def __init__(self, call: Call) -> None: ...

    @staticmethod
    def check_order(order: Order, account: Account) -> None:
        """Raise OrderError (naming the field) for an order this provider can't take."""
        ...

    @staticmethod
    def check_account(account: Account) -> None:
        """Raise ValueError (naming the field) for a setting this provider can't work with."""
        ...

    @staticmethod
    def can_search(account: Account) -> bool:
        """Whether ``find`` can tell: the account's orders can be searched, and what is found echoes our order id."""
        ...

    @staticmethod
    def sample_callback(account: Account) -> SignedSample | None:
        """A signed callback that matches nothing and is not kept; None if the provider sends no callbacks."""
        ...


PROVIDERS: Mapping[str, type[Adapter]] = {
    "nebulox": Nebulox,
    "zeroxhost": ZeroxHost,
}


class UnknownProviderError(ValueError):
    """A provider without an adapter. The message names those that have one."""


def provider(name: str) -> type[Adapter]:
    """The adapter's class, which checks orders without a connection. Raises UnknownProviderError."""
    try:
        return PROVIDERS[name]
    except KeyError:
        known = ", ".join(sorted(PROVIDERS))
        raise UnknownProviderError(f"provider: {name[:64]!r} is unknown; known are {known}") from None


def build_providers(call: Call) -> Mapping[str, Adapter]:
    """All adapters by name. They share one ``call``."""
    return {name: adapter(call) for name, adapter in PROVIDERS.items()}
