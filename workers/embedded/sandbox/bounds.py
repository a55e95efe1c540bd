"""What a fault's or a quirk's argument may be."""

from __future__ import annotations

from dataclasses import dataclass

from workers.embedded.sandbox.wire import InputError


@dataclass(frozen=True, slots=True)
class Bounds:
    """The argument's default, lowest and highest value; all 0 for a fault or quirk that takes none."""

    default: float
    low: float
    high: float

    def read_argument(self, argument: float | None) -> float:
        """The argument or the default. Raises InputError when it is out of bounds."""
        value = self.default if argument is None else argument
        if not self.low <= value <= self.high:
            raise InputError(f"argument: must be from {self.low:g} to {self.high:g}")
        return value
