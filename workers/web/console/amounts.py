"""Amounts for the eye: every digit, in groups of three, with the zeros at the end muted. Copied they stay exact."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from domain.money import format_amount

GROUP = 3


@dataclass(frozen=True, slots=True)
class AmountParts:
    """``whole`` without the point; ``groups`` of the decimals that count; ``zeros``: groups of those that don't."""

    whole: str
    groups: tuple[str, ...]
    zeros: tuple[str, ...]


def amount_parts(amount: Decimal | str) -> AmountParts:
    """An amount's digits as they are shown."""
    text = amount if isinstance(amount, str) else format_amount(amount)
    whole, _, decimals = text.partition(".")
    counting = decimals.rstrip("0")
    groups = [counting[at : at + GROUP] for at in range(0, len(counting), GROUP)]
    rest = decimals[len(counting) :]
    room = -len(counting) % GROUP  # the zeros that fill up the last group
    zeros = [rest[:room]] if rest[:room] else []
    zeros += [rest[at : at + GROUP] for at in range(room, len(rest), GROUP)]
    return AmountParts(whole, tuple(groups), tuple(zeros))
