"""What steps of an order are told to, so that they can be recorded as spans. By itself it records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

#: What kind of step, as OpenTelemetry has it.
Kind = Literal["internal", "server", "client", "producer", "consumer"]
#: What is said of a step. Never a secret, an address, a URL, an amount or anything else that the order brought.
Attributes = Mapping[str, str | int | None]


class Span:
    """One step. ``trace`` is what goes on from it (``domain/trace.py``); None where there is no trace."""

    __slots__ = ("trace",)

    def __init__(self, trace: str | None = None) -> None:
        self.trace = trace

    def end(self, about: Attributes | None = None, *, error: str | None = None) -> None:
        """It is over; ``error``: what went wrong, in a word. One that nobody ends is not recorded."""


class Tracer:
    """Records nothing: whatever trace came in goes on as it is."""

    is_on = False

    def begin(
        self,
        name: str,
        trace: str | None,
        about: Attributes | None = None,
        *,
        kind: Kind = "internal",
        is_first: bool = False,
        seconds_ago: float = 0.0,
    ) -> Span:
        """A step of the order that belongs to ``trace``. Without a trace there is nothing to record, except for the
        step that ``is_first``: it may begin one. Never raises."""
        return Span(trace)


#: What records nothing.
OFF = Tracer()
