"""How users share a bounded pool: endpoints share connections, host names the threads that look them up.

Pure: no I/O, no clock. The rule is the "dynamic threshold" of switch buffers: a user may hold at most a multiple of
what is free. So the fuller the pool, the less for each, and a user that holds little always finds something. Besides,
users that were slow lately and new ones may fill only a part of the pool, and new ones begin with a few.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

SLOW_SECONDS = 1.0  #: a user that lately held something for longer is slow
KNOWN_USERS = 20_000  #: how many users' times are kept; the one that has changed least lately is forgotten first


class Pace(StrEnum):
    """What is known of a user."""

    QUICK = "quick"
    NEW = "new"  #: not seen yet
    SLOW = "slow"


#: A user may hold at most this many times what is free to it.
_GREED = {Pace.QUICK: 2, Pace.NEW: 1, Pace.SLOW: 1}


class Shares:
    """Who holds how much of a pool, and how much more each user may take."""

    def __init__(self, limit: int, *, slow_part: float = 0.75, unproven_part: float = 0.875) -> None:
        """Slow users may hold ``slow_part`` of the pool; slow and new ones together ``unproven_part``."""
        self.limit = limit
        self._slow_limit = max(1, int(limit * slow_part))
        self._unproven_limit = max(1, int(limit * unproven_part))
        self._few = max(1, limit // 128)  #: a new user may hold this many
        self._kept = limit // 8  #: the last of the pool is reserved for users that hold less than a few,
        self._last = limit // 16  #: and the very last for those that hold nothing
        self._held: dict[str, int] = {}
        self._used = 0
        self._used_by: Counter[Pace] = Counter()
        self._recent: dict[str, float] = {}  #: user -> seconds, see ``note``

    @property
    def used(self) -> int:
        """How much of the pool is in use."""
        return self._used

    def held(self, user: str) -> int:
        """How much the user holds."""
        return self._held.get(user, 0)

    def pace(self, user: str) -> Pace:
        """What is known of the user."""
        recent = self._recent.get(user)
        if recent is None:
            return Pace.NEW
        return Pace.QUICK if recent < SLOW_SECONDS else Pace.SLOW

    def room(self, user: str) -> int:
        """How much more the user may take now."""
        held, pace = self._held.get(user, 0), self.pace(user)
        free = self.limit - self._used
        if pace is not Pace.QUICK:
            unproven = self._used_by[Pace.NEW] + self._used_by[Pace.SLOW]
            free = min(free, self._unproven_limit - unproven)
        if pace is Pace.SLOW:
            free = min(free, self._slow_limit - self._used_by[Pace.SLOW])
        if free <= 0:
            return 0
        least = min(self._few - held, free - self._last) if held else 1
        # With n more it would hold held + n, and its bound would be greed * (spare - n).
        greed, spare = _GREED[pace], free - self._kept
        most = (greed * spare - held) // (1 + greed)
        return max(min(most, self._few - held) if pace is Pace.NEW else most, least, 0)

    def take(self, user: str) -> None:
        """The user holds one more."""
        self._held[user] = self._held.get(user, 0) + 1
        self._used += 1
        self._used_by[self.pace(user)] += 1

    def give(self, user: str) -> None:
        """The user holds one less."""
        left = self._held[user] - 1
        if left:
            self._held[user] = left
        else:
            del self._held[user]
        self._used -= 1
        self._used_by[self.pace(user)] -= 1

    def note(self, user: str, seconds: float) -> None:
        """How long the user held something. A longer time than before counts at once, a shorter one by half."""
        known = self._recent.get(user)
        recent = seconds if known is None or seconds > known else (seconds + known) / 2
        if known is not None and (known < SLOW_SECONDS) == (recent < SLOW_SECONDS):
            self._recent[user] = recent
            return
        self._remember(user, recent)
        if len(self._recent) > KNOWN_USERS:
            self._remember(next(iter(self._recent)), None)

    def _remember(self, user: str, seconds: float | None) -> None:
        held, before = self._held.get(user, 0), self.pace(user)
        self._recent.pop(user, None)
        if seconds is not None:
            self._recent[user] = seconds  # at the end of the dict: the first in it is forgotten first
        after = self.pace(user)
        if held and after is not before:
            self._used_by[before] -= held
            self._used_by[after] += held
