"""Markers: what an id asks of the sandbox, as in `order-7~pay:2~` or `order-8~fault:status=503*2~`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workers.embedded.sandbox.wire import InputError

#: The closing ~ may also open the next marker: `~lifetime:5~pay:2~`.
_MARKER = re.compile(r"~([a-z_]+):([^~]*)(?=~)")
_FAULT = re.compile(r"([a-z_]+)(?:=(-?[0-9]+(?:\.[0-9]+)?))?(?:\*([0-9]{1,6}))?")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

STEP_MARKERS = ("pay", "confirm", "underpay", "overpay", "expire")
FAULT_MARKERS = {"fault": "create", "look_up_fault": "look_up", "callback": "callback"}
KNOWN = (*STEP_MARKERS, "lifetime", *FAULT_MARKERS)


#: Times without end.
EVERY = 10**6


@dataclass(frozen=True, slots=True)
class MarkedFault:
    """A fault for the next `times` calls; or a quirk for the first `times` callbacks."""

    name: str
    argument: float | None
    times: int


@dataclass(slots=True)
class Markers:
    """What a subject asks for: a lifetime in seconds, steps by seconds after the create, faults by operation.

    Of `faults["callback"]` all apply together, of others one after the other.
    """

    lifetime_seconds: int | None = None
    steps: list[tuple[float, str]] = field(default_factory=list)
    faults: dict[str, list[MarkedFault]] = field(default_factory=dict)


def read_markers(subject: str) -> Markers:
    """The markers in a text. Raises InputError for one that is unknown or can't be read."""
    markers = Markers()
    if "~" not in subject:
        return markers
    for name, argument in _MARKER.findall(subject):
        if name in STEP_MARKERS:
            markers.steps.append((_read_seconds(name, argument), name))
        elif name == "lifetime":
            markers.lifetime_seconds = max(round(_read_seconds(name, argument)), 1)
        elif name in FAULT_MARKERS:
            markers.faults[FAULT_MARKERS[name]] = [_read_fault(name, item) for item in argument.split(",")]
        else:
            raise InputError(f"~{name[:30]}:…~: unknown marker; known are {', '.join(KNOWN)}")
    return markers


def _read_seconds(name: str, argument: str) -> float:
    if _SECONDS.fullmatch(argument) is None:
        raise InputError(f"~{name}:…~: must be a number of seconds, such as ~{name}:2~")
    return float(argument)


def _read_fault(name: str, item: str) -> MarkedFault:
    match = _FAULT.fullmatch(item)
    if match is None:
        raise InputError(f"~{name}:…~: each fault is NAME, NAME=NUMBER or NAME=NUMBER*TIMES")
    fault, argument, times = match.groups()
    usual = EVERY if name == "callback" else 1
    return MarkedFault(fault, None if argument is None else float(argument), int(times or usual))
