"""How 0xhost says no: by ``success: false``, whatever the HTTP status."""

from __future__ import annotations

from decimal import Decimal

from workers.providers.refusal import Refusals


def denies(success: object) -> bool:
    """Whether it is ``false`` or 0. A text or null is no documented refusal: the rest of the answer decides."""
    return isinstance(success, (bool, int, Decimal)) and success == 0


#: For a refused key HTTP's own statuses: no document names others.
REFUSALS = Refusals(key_statuses=frozenset({401, 403}), is_own=lambda payload: denies(payload.get("success")))
