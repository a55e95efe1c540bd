"""What every stand-in has: a provider's documented calls, its invoices, and callbacks where it sends any."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar
from uuid import UUID

from aiohttp import web

from workers.embedded.sandbox.callbacks import Courier, Style
from workers.embedded.sandbox.demo import Kind
from workers.embedded.sandbox.desk import Calls, Desk, Dialect
from workers.embedded.sandbox.invoices import Invoices, Lifetime
from workers.embedded.sandbox.script import Script


@dataclass(frozen=True, slots=True)
class Given:
    """What the sandbox hands to each stand-in."""

    api_key: str
    lifetime: Lifetime
    random: Random
    script: Script
    calls: Calls


class StandIn(ABC):
    """One provider as the sandbox plays it. ``name`` is the provider's in the workers' registry; it is the stand-in's
    path too, and part of its key: ``sandbox-NAME-key``."""

    name: ClassVar[str]
    title: ClassVar[str]  #: as people write it
    operations: ClassVar[tuple[str, ...]] = ("create", "look_up")  #: its documented calls, as fault rules name them
    callbacks: ClassVar[Style | None] = None  #: how it calls back; None: it does not
    demo: ClassVar[Sequence[Kind]] = ()  #: its orders in one round of `invoices demo`

    def __init__(self, given: Given) -> None:
        self.api_key, self.lifetime, self.random = given.api_key, given.lifetime, given.random
        self.invoices = Invoices(given.random)
        self.next_number = 1  #: the next invoice's
        self.desk = Desk(self.name, self.dialect(), self.invoices, given.script, given.calls)
        self.courier: Courier | None = None
        if self.callbacks is not None:
            self.courier = Courier(given.api_key, self.callbacks, self.invoices, given.script)
            self.invoices.watcher = self.courier

    @abstractmethod
    def dialect(self) -> Dialect:
        """How it words failures."""

    @abstractmethod
    def routes(self, prefix: str) -> list[web.RouteDef]:
        """The routes that it serves under the prefix."""

    def new_id(self) -> str:
        """A random UUID, the same for the same seed."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    async def settle(self, ref: str | None) -> None:
        """Wait for the callbacks that go before the answer to a create."""
        if self.courier is not None:
            await self.courier.settle(ref)

    @staticmethod
    def write_demo_order(name: str, kind: Kind, number: int) -> dict[str, object]:
        """The demo's order as a shop queues it, with ``kind.markers`` in one of its ids."""
        price = f"{5 + number % 90}.{number % 100:02d}"
        fields: dict[str, object] = {"order_id": name + kind.markers, "price": price, "currency": "EUR"}
        return fields if kind.minutes is None else fields | {"lifetime_minutes": kind.minutes}

    @classmethod
    def operation_names(cls) -> tuple[str, ...]:
        """The operations that a fault rule may name: its calls, and ``callback`` where it calls back."""
        return (*cls.operations, "callback") if cls.callbacks is not None else cls.operations

    @classmethod
    def sandbox_key(cls) -> str:
        """Its key, unless the command line gives another one."""
        return f"sandbox-{cls.name}-key"
