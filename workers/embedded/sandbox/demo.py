"""The kinds of orders that a demo makes of a provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of order. ``markers`` go into the id that the sandbox reads (its README); ``calls``: creates it needs."""

    what: str
    ends: str
    markers: str = ""
    calls: int = 1
    minutes: str | None = None  #: its lifetime, where the provider gives none
    prefix: str = "d"
    anomaly: str | None = None  #: that it must end with; None: any or none
