"""How many live pages one person may have, so that nobody takes them from the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workers.web.console.live import Watcher

#: Hidden tabs don't count: they close their stream. With one more, the oldest page is let go, and says so.
MOST_OF_ONE = 20


class OpenPages:
    """By person. Used on one event loop."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Watcher, None]] = {}

    @contextmanager
    def page(self, name: str, watcher: Watcher) -> Iterator[None]:
        """Somebody of this name looks at a page inside."""
        theirs = self._of.setdefault(name, {})
        theirs[watcher] = None
        while len(theirs) > MOST_OF_ONE:
            oldest = next(iter(theirs))
            del theirs[oldest]
            oldest.let_go()
        try:
            yield
        finally:
            theirs.pop(watcher, None)
            if not theirs and self._of.get(name) is theirs:
                del self._of[name]
