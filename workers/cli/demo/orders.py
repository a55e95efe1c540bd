"""The demo's orders: what each asks of the sandbox, and how it has to end. The stand-ins define the kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from workers.embedded.sandbox.demo import Kind
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.embedded.sandbox.stand_in import StandIn

#: The providers that call back about payments: their accounts' names, and their names as people write them.
CALLED_BACK = {each.name: each.title for each in STAND_INS if each.callbacks is not None}


def mix(stand_ins: tuple[type[StandIn], ...]) -> tuple[tuple[type[StandIn], Kind], ...]:
    """One round: each provider's kinds in order, spread evenly among those of the others."""
    placed = [((at + 0.5) / len(each.demo), each, kind) for each in stand_ins for at, kind in enumerate(each.demo)]
    placed.sort(key=lambda one: one[0])
    return tuple((each, kind) for _, each, kind in placed)


#: One round; longer demos repeat it.
ROUND = mix(STAND_INS)


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """An order's fields as they are queued, and its kind."""

    fields: dict[str, Any]
    kind: Kind

    @property
    def account(self) -> str:
        """Its account, which has its provider's name."""
        return str(self.fields["account"])

    @property
    def sandbox_id(self) -> str:
        """What the sandbox knows the order by."""
        user_id = self.fields.get("params", {}).get("user_id")
        return str(user_id or self.fields["order_id"])


def make_orders(count: int) -> Iterator[DemoOrder]:
    """``count`` orders of all kinds."""
    for number, (stand_in, kind) in enumerate(islice(cycle(ROUND), count), start=1):
        fields = stand_in.write_demo_order(f"{kind.prefix}-{number:04d}", kind, number)
        yield DemoOrder({"account": stand_in.name, "metadata": {"demo": kind.what}} | fields, kind)
