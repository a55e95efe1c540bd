"""Points, between any two steps that matter, at which a process can be told to kill itself: for crash campaigns only.

``INVOICES_TEST_DIE_AT=create.call.after:3`` ends the process by SIGKILL when it passes that point for the third time.
The code under test does not know of it: ``arm`` wraps its methods. Without the variable nothing is wrapped.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from sqlalchemy import event
from sqlalchemy.engine import Engine

VARIABLE = "INVOICES_TEST_DIE_AT"

#: What a process writes to its standard error before it dies.
LAST_WORDS = "fault_point.died"

_STORE = "workers.store.store:Store"
_PUBLISHING = "workers.store.publishing:Publishing"
_CHANNEL = "workers.transport.channel:Claiming"


@dataclass(frozen=True, slots=True)
class Step:
    """The methods that make a step; there is a point before and a point after it.

    ``first``: only calls with this first argument count. ``adapters``: the method of this name of every provider's
    adapter.
    """

    methods: tuple[str, ...] = ()
    first: str | None = None
    adapters: str | None = None

    def paths(self) -> tuple[str, ...]:
        """All methods, as ``module:Class.method``."""
        if self.adapters is None:
            return self.methods
        from workers.providers.registry import PROVIDERS  # not at the top: only where a point is armed

        return tuple(f"{one.__module__}:{one.__qualname__}.{self.adapters}" for one in PROVIDERS.values())


#: Steps by name; each has the points ``NAME.before`` and ``NAME.after``. A claim that found nothing does not count for
#: the latter.
STEPS: dict[str, Step] = {
    "message.claim": Step((f"{_CHANNEL}._read_claim",)),
    "message.reject": Step((f"{_STORE}.reject",)),
    "message.ack": Step(("workers.transport.qos:QoS.forget",)),
    "order.commit": Step((f"{_STORE}.add_orders",)),
    "create.claim": Step((f"{_STORE}.claim_creates",)),
    "create.call": Step(adapters="create"),
    "check.claim": Step((f"{_STORE}.claim_invoices",), "check"),
    "check.call": Step(adapters="look_up"),
    "clock.claim": Step((f"{_STORE}.claim",), "clock"),
    "judge.commit": Step((f"{_STORE}.judge_and_take",)),
    "publish.claim": Step((f"{_PUBLISHING}.claim_publisher",)),
    "publish.place": Step((f"{_PUBLISHING}.place_events",)),
    "publish.append": Step(("workers.delivery.stream:EventStream.append",)),
    "publish.commit": Step((f"{_PUBLISHING}.mark_published",)),
    "publish.finish": Step((f"{_STORE}.finish",)),
    "deliver.claim": Step((f"{_STORE}.claim_deliveries",)),
    "deliver.call": Step(("workers.delivery.webhook:WebhookSender.send",)),
    "deliver.commit": Step((f"{_STORE}.settle_free",)),
}
#: Before any statement is sent, and before any COMMIT.
SQL_POINTS = {"sql.statement": "before_cursor_execute", "sql.commit": "commit"}

POINTS = (*(f"{name}.{side}" for name in STEPS for side in ("before", "after")), *SQL_POINTS)


def arm(wanted: str) -> None:
    """``POINT:N``: kill this process at the point's N-th pass. Empty: never. Raises ValueError for anything else."""
    if not wanted:
        return
    point, _, count = wanted.partition(":")
    if point not in POINTS or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{VARIABLE}: must be POINT:N with a known point and N from 1, not {wanted[:80]!r}")
    die = _countdown(point, int(count))
    if point in SQL_POINTS:
        event.listen(Engine, SQL_POINTS[point], lambda *_: die())
        return
    name, _, side = point.rpartition(".")
    for method in STEPS[name].paths():
        _wrap(method, side, STEPS[name].first, die)


def _countdown(point: str, count: int) -> Callable[[], None]:
    lock, left = threading.Lock(), [count]

    def pass_by() -> None:
        with lock:
            left[0] -= 1
            if left[0] == 0:
                os.write(2, f"{LAST_WORDS} {point}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by


def _wrap(path: str, side: str, first: str | None, die: Callable[[], None]) -> None:
    """Replace ``module:Class.method`` by a wrapper."""
    module, _, rest = path.partition(":")
    owner_name, _, method_name = rest.partition(".")
    owner = getattr(import_module(module), owner_name)
    method: Callable[..., object] = getattr(owner, method_name)

    def enter(arguments: tuple[object, ...]) -> bool:
        """Whether this call belongs to the step; dies here if the point is before it."""
        meant = first is None or str(arguments[1]) == first
        if meant and side == "before":
            die()
        return meant

    def leave(meant: bool, result: object) -> object:
        if meant and side == "after" and (result or "claim" not in method_name):
            die()
        return result

    setattr(owner, method_name, _between(enter, method, leave))


def _between(
    enter: Callable[[tuple[object, ...]], bool], method: Callable[..., object], leave: Callable[[bool, object], object]
) -> Callable[..., object]:
    """The method, coroutine function or not, between ``enter`` and ``leave``."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def wrapper(*arguments: object, **options: object) -> object:
            meant = enter(arguments)
            return leave(meant, await method(*arguments, **options))
    else:

        @functools.wraps(method)
        def wrapper(*arguments: object, **options: object) -> object:
            meant = enter(arguments)
            return leave(meant, method(*arguments, **options))

    return wrapper
