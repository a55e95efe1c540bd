"""What a campaign plans: settings, faults, messages, payments, marks, lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Session:
    """PostgreSQL's settings that somebody made the default of the database, and those in the processes' environment."""

    database: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens ``at`` so many seconds after the start. ``what`` is a method of ``Faults``."""

    at: float
    what: str
    target: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """An order or a cancellation as it is published, and when."""

    at: float
    order_id: str
    fields: dict[str, Any]
    task: str = "invoices.create"
    lot: int = 0  #: orders of one lot come in one message; 0: in one of its own


@dataclass(frozen=True, slots=True)
class Payment:
    """An order that its customer pays, and when; ``kind``: how it is told, of PAYMENTS."""

    at: float
    order_id: str
    kind: str = "once"


@dataclass(frozen=True, slots=True)
class PlannedMark:
    """An order that an operator will say is paid."""

    at: float
    order_id: str
    account: str


@dataclass(frozen=True, slots=True)
class Life:
    """How a process is started, and the point and pass it dies at; empty: until something else kills it."""

    point: str
    cold: bool
