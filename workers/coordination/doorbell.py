"""Doorbells: a message that says "look at this lane". A lost one costs a second, never an invoice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import structlog
from redis import Redis

from domain.decision import Stage

log = structlog.get_logger()

#: At most one bell a lane in this time: the rest would say the same. Twice as long after each that nobody has heard
#: yet, up to DOUBLINGS times (a minute): while all workers are down, bells don't pile up in the broker, and where one
#: got lost that Redis still counts, the lane waits for the sweep no longer than that.
QUIET_MILLISECONDS = 1000
DOUBLINGS = 6

# KEYS: the bell, how many of it nobody has heard. Answers 1 when it may be rung.
_MAY_RING = f"""
local unheard = tonumber(redis.call('GET', KEYS[2]) or '0')
local quiet = {QUIET_MILLISECONDS} * 2 ^ math.min(unheard, {DOUBLINGS})
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', quiet) then return 0 end
redis.call('SET', KEYS[2], unheard + 1, 'PX', quiet * 4)
return 1
"""

#: After a bell of one process: what is asked for meanwhile is rung once. A bell costs a message; the lane that
#: hears it rests for longer than this (``workers.engine``), so a longer rest here would only be waited for twice.
REST_SECONDS = 0.005

#: After a bell that could not be rung none is tried for so long.
AWAY_SECONDS = 1.0


class Bell:
    """Rings for other processes. Nothing here raises: whoever rings has already committed.

    Bells are rung by a thread of their own: with a broker that is away a publish takes seconds to fail, and whoever
    rings (a judge, the pump's loop) has work to do. ``client`` should give up fast.
    """

    def __init__(
        self, client: Redis, send: Callable[[str, list[str]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``send(task, arguments)`` publishes a message on the work queue; ``clock`` gives seconds."""
        self._client = client
        self._may_ring = client.register_script(_MAY_RING)
        self._send = send
        self._clock = clock
        self._away_until = 0.0
        self._waiting: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._asked: set[tuple[str, str]] = set()  #: what waits, each once
        self._starting = threading.Lock()
        self._ringer: threading.Thread | None = None

    def ring(self, stage: Stage, lane: str) -> None:
        """Wake one worker for this lane, unless somebody just did. Returns at once."""
        bell = (stage.value, lane)
        if bell in self._asked or self._clock() < self._away_until:
            return
        self._asked.add(bell)
        self._waiting.put(bell)
        with self._starting:
            if self._ringer is None:
                self._ringer = threading.Thread(target=self._ring_for_ever, name="bell", daemon=True)
                self._ringer.start()

    def _ring_for_ever(self) -> None:
        while True:
            bells = [self._waiting.get()]
            while not self._waiting.empty():
                bells.append(self._waiting.get())
            rung = False
            for bell in bells:
                self._asked.discard(bell)  # first: who rings from now on may mean something that came later
                if self._clock() >= self._away_until:
                    rung = self._ring(*bell) or rung
            if rung:  # one that may not be rung holds up no other
                time.sleep(REST_SECONDS)

    def _ring(self, stage: str, lane: str) -> bool:
        """Whether it cost a message."""
        try:
            if not self._may_ring(keys=_keys(stage, lane)):
                return False
            self._post(stage, lane)
        except Exception as error:  # noqa: BLE001 - broker or Redis away: the sweep finds the work within a second
            self._rest()
            log.warning("bell.unheard", stage=stage, lane=lane, error=type(error).__name__)
        return True

    def _post(self, stage: str, lane: str) -> None:
        try:
            self._send("invoices.run", [stage, lane])
        except Exception:
            _, unheard = _keys(stage, lane)
            self._client.delete(unheard)  # nobody could hear it: no reason to ring rarely once the broker is back
            raise

    def clear(self, stage: str, lane: str) -> None:
        """Let the bell ring again. Before the claim, never after it: a ring in between would get lost."""
        self._forget(_keys(stage, lane), stage, lane)

    def put_off(self, stage: str, lane: str) -> None:
        """It was heard, and is still to be quiet for its second: whoever heard it clears it before a claim to come."""
        self._forget(_keys(stage, lane)[1:], stage, lane)

    def _forget(self, keys: list[str], stage: str, lane: str) -> None:
        if self._clock() < self._away_until:
            return
        try:
            self._client.delete(*keys)
        except Exception as error:  # noqa: BLE001 - the key runs out by itself
            self._rest()
            log.warning("bell.not_cleared", stage=stage, lane=lane, error=type(error).__name__)

    def _rest(self) -> None:
        self._away_until = self._clock() + AWAY_SECONDS


def _keys(stage: str, lane: str) -> list[str]:
    return [f"invoices:bell:{stage}:{lane}", f"invoices:unheard:{stage}:{lane}"]
