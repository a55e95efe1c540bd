"""The platform under the code while a history runs: time, dice and ids come from the seed, logs are listened to."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog
import uuid_utils

from tests.simulation.loop import Loop
from workers.engine import pump, timers

publish = import_module("workers.stages.publish")
callbacks = import_module("workers.web.callbacks")


@contextmanager
def standing_on(loop: Loop, seed: int, errors: list[str]) -> Iterator[None]:
    """Inside, the monotonic clocks are the loop's time, chance is the seed's, and logged errors are appended."""
    count = iter(range(1, 1 << 62))
    before, chance = structlog.get_config(), random.getstate()
    with ExitStack() as stack:
        stack.enter_context(patch.object(time, "monotonic", loop.time))
        stack.enter_context(patch.object(callbacks, "perf_counter", loop.time))
        stack.enter_context(patch.object(time, "clock_gettime", lambda _: loop.time()))
        stack.enter_context(patch.object(uuid_utils, "uuid7", lambda: SimpleNamespace(hex=f"{next(count):032x}")))
        stack.enter_context(patch.object(secrets, "token_hex", lambda size=8: f"{next(count):0{2 * size}x}"))
        # Thrice as seldom as in truth: most of a quiet second would be sweeps. A lost doorbell is seen better.
        stack.enter_context(patch.object(pump, "SWEEP_SECONDS", 3.0))
        stack.enter_context(patch.object(timers, "LOOK_AHEAD_SECONDS", 3.5))
        stack.enter_context(patch.object(publish, "PUBLISH_BATCH", 2))  # so that there is more than one
        random.seed(seed)
        structlog.configure(
            processors=[_listener(errors)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
            cache_logger_on_first_use=False,
        )
        asyncio._set_running_loop(loop)
        try:
            yield
        finally:
            loop.close()
            asyncio._set_running_loop(None)
            structlog.configure(**before)
            random.setstate(chance)


def _listener(errors: list[str]) -> Any:
    def listen(_: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if event.get("event") != "webhook.secret_unreadable":
            cause = event.get("exc_info")
            errors.append(f"{event.get('event')} {_cause(cause)}".strip())
        raise structlog.DropEvent

    return listen


def _cause(given: Any) -> str:
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    return "" if error is None else f"{type(error).__name__}: {error}"[:300]
