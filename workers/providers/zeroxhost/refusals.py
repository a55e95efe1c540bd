"""How 0xhost says no: ``success: false``, whatever the HTTP status."""

from __future__ import annotations

from decimal import Decimal

from workers.providers.refusal import Refusals


def denies(success: object) -> bool:
    """``false`` or the number 0. Texts and null are nobody's documented "no": what they come with decides."""
    return isinstance(success, (bool, int, Decimal)) and success == 0


#: HTTP's own words for a refused key: no document names others.
REFUSALS = Refusals(key_statuses=frozenset({401, 403}), is_own=lambda payload: denies(payload.get("success")))
