"""The tracer: the steps of an order are told to it, to be recorded as spans. This one records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

#: The kind of a step, as in OpenTelemetry.
Kind = Literal["internal", "server", "client", "producer", "consumer"]
#: What is recorded of a step. Never a secret, an address, a URL, an amount or anything else that the order brought.
Attributes = Mapping[str, str | int | None]


class Span:
    """One step. ``trace``: the trace for what follows from it (``domain/trace.py``); None: there is none."""

    __slots__ = ("trace",)

    def __init__(self, trace: str | None = None) -> None:
        self.trace = trace

    def end(self, about: Attributes | None = None, *, error: str | None = None) -> None:
        """The step is over. ``error``: what went wrong, in a word. A step that is never ended is not recorded."""


class Tracer:
    """Records nothing: the trace that came in is passed on as it is."""

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
        """Begin a step of the order that belongs to ``trace``. Without a trace nothing is recorded, but a step that
        ``is_first`` may begin one. Never raises."""
        return Span(trace)


#: Records nothing.
OFF = Tracer()
