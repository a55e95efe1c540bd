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

#: A lane's doorbell rings at most once in this time: more rings would say the same. The time doubles after each ring
#: that nobody has heard, up to DOUBLINGS times (a minute). So messages don't pile up in the broker while all workers
#: are down, and after a ring that got lost the lane's next one comes within that minute.
QUIET_MILLISECONDS = 1000
DOUBLINGS = 6

# KEYS: the doorbell, and how many of its rings nobody has heard. Answers 1 when it may ring.
_MAY_RING = f"""
local unheard = tonumber(redis.call('GET', KEYS[2]) or '0')
local quiet = {QUIET_MILLISECONDS} * 2 ^ math.min(unheard, {DOUBLINGS})
if not redis.call('SET', KEYS[1], '1', 'NX', 'PX', quiet) then return 0 end
redis.call('SET', KEYS[2], unheard + 1, 'PX', quiet * 4)
return 1
"""

#: A process rests between two rounds of rings; a lane that is asked for several times meanwhile rings once. Each ring
#: costs a message, and a lane that hears one rests for longer than this anyway (``workers.engine``).
REST_SECONDS = 0.005

#: After a ring has failed, none is tried for this long.
AWAY_SECONDS = 1.0


class Doorbell:
    """Rings for other processes. Nothing here raises: the caller has already committed.

    A thread of its own rings: while the broker is away a message takes seconds to fail, and the caller (the thread that
    judges, the pump's loop) has work to do. ``client`` should give up fast.
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
        self._asked: set[tuple[str, str]] = set()  #: the same lanes, so that each waits only once
        self._starting = threading.Lock()
        self._ringer: threading.Thread | None = None

    def ring(self, stage: Stage, lane: str) -> None:
        """Wake one worker for this lane, unless one was woken just now. Returns at once."""
        asked = (stage.value, lane)
        if asked in self._asked or self._clock() < self._away_until:
            return
        self._asked.add(asked)
        self._waiting.put(asked)
        with self._starting:
            if self._ringer is None:
                self._ringer = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._ringer.start()

    def _run(self) -> None:
        while True:
            lanes = [self._waiting.get()]
            while not self._waiting.empty():
                lanes.append(self._waiting.get())
            rung = False
            for lane in lanes:
                self._asked.discard(lane)  # before it rings: a call from now on may be for later work
                if self._clock() >= self._away_until:
                    rung = self._ring(*lane) or rung
            if rung:  # if none was allowed to ring, the next need not wait
                time.sleep(REST_SECONDS)

    def _ring(self, stage: str, lane: str) -> bool:
        """Ring, if Redis allows it. Returns whether a message was sent, or tried."""
        try:
            if not self._may_ring(keys=_keys(stage, lane)):
                return False
            self._post(stage, lane)
        except Exception as error:  # noqa: BLE001 - broker or Redis away: the sweep finds the work within a second
            self._rest()
            log.warning("doorbell.unheard", stage=stage, lane=lane, error=type(error).__name__)
        return True

    def _post(self, stage: str, lane: str) -> None:
        try:
            self._send("invoices.run", [stage, lane])
        except Exception:
            _, unheard = _keys(stage, lane)
            self._client.delete(unheard)  # it was never sent: once the broker is back it need not ring less often
            raise

    def clear(self, stage: str, lane: str) -> None:
        """Let it ring again. Called before the claim, never after it: a ring in between would get lost."""
        self._forget(_keys(stage, lane), stage, lane)

    def leave_pending(self, stage: str, lane: str) -> None:
        """It was heard, and stays quiet for its second: the lane clears it before its next claim."""
        self._forget(_keys(stage, lane)[1:], stage, lane)

    def _forget(self, keys: list[str], stage: str, lane: str) -> None:
        if self._clock() < self._away_until:
            return
        try:
            self._client.delete(*keys)
        except Exception as error:  # noqa: BLE001 - the key runs out by itself
            self._rest()
            log.warning("doorbell.not_cleared", stage=stage, lane=lane, error=type(error).__name__)

    def _rest(self) -> None:
        self._away_until = self._clock() + AWAY_SECONDS


def _keys(stage: str, lane: str) -> list[str]:
    return [f"invoices:bell:{stage}:{lane}", f"invoices:unheard:{stage}:{lane}"]
