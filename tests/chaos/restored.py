"""What there was right before the database was put back to its backup: what is gone afterwards is told of here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.system import System


@dataclass(frozen=True, slots=True)
class Before:
    """The tables at that moment, with nobody at work. ``at``: epoch seconds."""

    invoices: Mapping[str, Mapping[str, Any]]  #: by order id
    events: frozenset[str]  #: ids of the log: receivers may have them, the log that was put back may not
    answered: frozenset[str]  #: orders whose cancellation had been answered
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Period:
    """From one putting back to the next, and the invoices as they stood at its end."""

    since: float
    until: float
    invoices: Mapping[str, Mapping[str, Any]]


def periods(system: System, restores: list[Before]) -> Iterator[Period]:
    """The whole run, cut at each putting back."""
    since = 0.0
    for before in restores:
        yield Period(since, before.at, before.invoices)
        since = before.at
    yield Period(since, float("inf"), system.invoices())
