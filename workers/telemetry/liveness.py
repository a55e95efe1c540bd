"""Whether this process still turns: asked by whoever restarts processes that don't.

Only what a restart mends counts. A broker, a database or a provider that is away, a refused key, a backlog: none of
them is a reason to restart anything (the doctor and the alerts tell them).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

#: Longer than anything that a consumer's loop waits for: its sockets give up after 30 s, a few of them in a row.
SILENT_SECONDS = 300.0


class Turns:
    """A loop that marks each of its turns. It may be silent while it waits for something outside."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._waiting = False

    def mark(self) -> None:
        """The loop turned just now."""
        self._last = self._clock()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What waits here may take as long as it likes, such as for a broker that is away."""
        self._waiting = True
        try:
            yield
        finally:
            self.mark()
            self._waiting = False

    def goes_on(self) -> bool:
        """Whether it turned lately, or waits."""
        return self._waiting or self._clock() - self._last < SILENT_SECONDS


class Liveness:
    """The loops of this process, each with a question that says whether it goes on."""

    def __init__(self) -> None:
        self._questions: dict[str, Callable[[], bool]] = {}

    def watch(self, loop: str, goes_on: Callable[[], bool]) -> None:
        """Ask about this loop too. ``goes_on`` is called from any thread, and may take a few seconds."""
        self._questions[loop] = goes_on

    def stuck(self) -> list[str]:
        """The loops that don't go on."""
        return [loop for loop, goes_on in list(self._questions.items()) if not goes_on()]
