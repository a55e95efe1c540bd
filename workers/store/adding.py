"""What SQLite is taught: to add amounts, which it keeps as text, with every digit."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

from domain.money import EXACT, format_amount

NAME = "exact_sum"


class _Adding:
    """SQLite's aggregate: one for each group."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, amount: Any, /) -> None:
        """The next row's."""
        if amount is not None:
            self._sum = EXACT.add(self._sum or Decimal(0), Decimal(amount))

    def finalize(self) -> Any:
        """Of all of them."""
        return None if self._sum is None else format_amount(self._sum)


def teach_to_add(connection: sqlite3.Connection) -> None:
    """Let statements on this connection of SQLite's add amounts."""
    connection.create_aggregate(NAME, 1, _Adding)
