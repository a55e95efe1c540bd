"""A short wait for what the intake says of orders that were just sent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workers.cli.context import open_database
from workers.cli.errors import CommandFailed

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.order import Order
    from workers.store.reads.verdicts import Key, Verdict

#: A running intake stores an order within milliseconds; without one nobody should wait for long.
PATIENCE_SECONDS = 5.0
STEP_SECONDS = 0.1
#: For more orders than this it does not wait: a file may have millions.
MAX_ORDERS = 500


def key_of(order: Order) -> Key:
    """What an order is known by."""
    return order.account, order.idempotency_key


def told_as_json(verdict: Verdict | None) -> dict[str, object]:
    """The verdict's part of a receipt."""
    if verdict is None:
        return {"verdict": None}
    return {"verdict": verdict.outcome, "invoice_id": verdict.invoice_id, "reason": verdict.reason}


class Awaited:
    """Orders whose verdict is waited for. Where the database can't be read there is no wait, and no verdict."""

    def __init__(self, config: Settings | None) -> None:
        """To be made before the orders are sent. ``config`` None: no wait."""
        self._config = config
        self._orders: dict[Key, Order] = {}
        self._sent: dict[str, Key] = {}
        self._after = self._newest()

    @property
    def can_be_known(self) -> bool:
        """Whether there is a database to ask."""
        return self._after is not None

    def add(self, order: Order, fields: Mapping[str, object]) -> None:
        """The order was sent, with these fields."""
        from domain.exact_json import write_json

        if len(self._orders) <= MAX_ORDERS:
            self._orders[key_of(order)] = order
            self._sent[write_json(fields)] = key_of(order)

    def verdicts(self) -> dict[Key, Verdict]:
        """The verdicts that are known within PATIENCE_SECONDS."""
        from workers.store.database import UNAVAILABLE
        from workers.store.reads.verdicts import Key, Verdict, read_verdicts

        after, found = self._after, dict[Key, Verdict]()
        if after is None or not 0 < len(self._orders) <= MAX_ORDERS:
            return {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            with open_database(self._config) as database:
                while len(found) < len(self._orders) and time.monotonic() < deadline:
                    found = database.read(lambda connection: read_verdicts(connection, self._orders, self._sent, after))
                    if len(found) < len(self._orders):
                        time.sleep(STEP_SECONDS)
        except UNAVAILABLE:
            self._after = None
        return found

    def _newest(self) -> int | None:
        from workers.store.database import UNAVAILABLE
        from workers.store.reads.verdicts import newest_rejection
        from workers.store.release import SchemaTooOld
        from workers.store.session import UnfitDatabase

        if self._config is None:
            return None
        try:
            with open_database(self._config) as database:
                return database.read(newest_rejection)
        except (CommandFailed, SchemaTooOld, UnfitDatabase, *UNAVAILABLE):
            return None
