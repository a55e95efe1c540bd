"""What can be odd about a callback, as a table. Several quirks apply together."""

from __future__ import annotations

from collections.abc import Mapping

from workers.embedded.sandbox.bounds import Bounds
from workers.embedded.sandbox.markers import Markers
from workers.embedded.sandbox.wire import InputError

_NO_ARGUMENT = Bounds(0, 0, 0)

#: Every quirk by name. README.md says what each does.
QUIRKS: dict[str, Bounds] = {
    "late": Bounds(1, 0, 3600),
    "twice": _NO_ARGUMENT,
    "reordered": _NO_ARGUMENT,
    "forged": _NO_ARGUMENT,
    "forged_only": _NO_ARGUMENT,
    "lost": Bounds(0, 0, 1000),
    "early": _NO_ARGUMENT,
    "old": _NO_ARGUMENT,
    "spelled": _NO_ARGUMENT,
    "wrong_amount": Bounds(0.01, 0, 1_000_000),
    "wrong_coin": _NO_ARGUMENT,
    "new_word": _NO_ARGUMENT,
    "new_field": _NO_ARGUMENT,
}

#: The quirks of one callback, with their arguments.
Quirks = Mapping[str, float]


def find_quirk(name: str) -> Bounds:
    """The bounds of the quirk's argument. Raises InputError that lists the known quirks."""
    bounds = QUIRKS.get(name)
    if bounds is None:
        raise InputError(f"fault: {name[:50]!r} is unknown for callbacks; known are {', '.join(QUIRKS)}")
    return bounds


def read_quirks(markers: Markers, number: int) -> dict[str, float]:
    """What an invoice's markers ask of the callback with this number, from 1. Raises InputError."""
    found = {}
    for marked in markers.faults.get("callback", ()):
        argument = find_quirk(marked.name).read_argument(marked.argument)
        if number <= marked.times:
            found[marked.name] = argument
    return found
