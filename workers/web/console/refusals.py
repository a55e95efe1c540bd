"""What a page of the console answers instead of what was asked for."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - reads as what is answered
    """An error page: what happened, and what helps. Both are sentences for people, in English; the view translates."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail


class NotFound(Refused):
    """There is no such thing, or it is not for this person's eyes: which of the two is not told."""

    def __init__(self, what: str = "There is no such page") -> None:
        super().__init__(
            404, what, "It may be gone, its address may be wrong, or it belongs to an account that you do not see."
        )


class Forbidden(Refused):
    """The role does not allow it."""

    def __init__(self, role: str) -> None:
        super().__init__(
            403,
            "You may not do that",
            f"Your role, {role}, does not include it. An admin can change roles with `invoices users`.",
        )
