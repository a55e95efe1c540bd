"""For loops that look at the database again and again: while it is away they look less often, and log that once."""

from __future__ import annotations

import structlog

log = structlog.get_logger()

MOST_SECONDS = 2.0  #: between two looks, however long it is away


class Absence:
    """How many looks in a row have failed. ``look_seconds``: between two looks while it is there."""

    def __init__(self, look_seconds: float) -> None:
        self._look_seconds = look_seconds
        self._failed = 0

    @property
    def pause_seconds(self) -> float:
        """Until the next look."""
        return min(max(MOST_SECONDS, self._look_seconds), self._look_seconds * 2.0 ** min(self._failed, 30))

    def begins(self, error: BaseException, **about: object) -> None:
        """A look failed. ``about``: fields for the log."""
        if not self._failed:
            log.warning("api.store_away", error=type(error).__name__, **about)
        self._failed += 1

    def ends(self) -> None:
        """A look succeeded."""
        if self._failed:
            log.info("api.store_back", failed_looks=self._failed)
        self._failed = 0
