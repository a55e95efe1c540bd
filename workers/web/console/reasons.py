"""Why something is done by hand: every form that changes anything asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from domain.requests import LONGEST_REASON


def why_no_reason(given: Mapping[str, str]) -> str | None:
    """Why what a form gives as its reason can't be kept; None: it can."""
    reason = given.get("reason", "").strip()
    if not reason:
        return "Say why: it is kept in the audit log."
    if len(reason) > LONGEST_REASON:
        return f"The reason is too long: at most {LONGEST_REASON} characters."
    return None
