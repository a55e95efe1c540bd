"""The end of an engine: what is under way ends and is committed, the rest is given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from workers.engine.commits import Commits
from workers.engine.lane import AnyLane
from workers.engine.observer import Failure, Trouble
from workers.engine.shared import Shared
from workers.engine.work import AnyWork


async def drain(
    shared: Shared, lanes: Sequence[AnyLane], commits: Sequence[Commits[Any]], deadline_seconds: float
) -> None:
    """Let what is under way finish and be committed; cancel what does not, and give its rows back."""
    until = time.monotonic() + deadline_seconds
    await _stop_claiming(lanes, until)
    ahead = [lane.work.claim_of(item) for lane in lanes for item in lane.ready]
    giving_back = [asyncio.create_task(shared.give_back(ahead))] if ahead else []
    unfinished = await _end_calls(shared, until)
    committing = asyncio.gather(*giving_back, *(one.join() for one in commits))
    await asyncio.wait([committing], timeout=max(1.0, until - time.monotonic()))
    if unfinished:  # a look-up or a delivery may be repeated; a create is in doubt, and its lease says so
        repeatable = [(work, items) for work, items in unfinished if work.repeatable]
        claims = [work.claim_of(item) for work, items in repeatable for item in items]
        fields = {"unfinished": len(unfinished), "given_back": len(claims)}
        shared.observer.failed(Failure(Trouble.CUT_SHORT, fields=fields))
        await shared.give_back(claims)


async def _stop_claiming(lanes: Sequence[AnyLane], until: float) -> None:
    """Not cancelled: a claim that is under way must not leave leases behind that nobody acts on."""
    tasks = [lane.task for lane in lanes if lane.task is not None]
    for lane in lanes:
        lane.wake_up()
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic() - 1))


async def _end_calls(shared: Shared, until: float) -> list[tuple[AnyWork, Sequence[Any]]]:
    """Wait for the calls that are under way, and cancel those that do not end in time. Returns the work and the rows of
    each that was cancelled."""
    calls = dict(shared.under_way)
    if calls:
        await asyncio.wait(calls, timeout=max(0.0, until - time.monotonic() - 1))
    unfinished = {task: rows for task, rows in calls.items() if not task.done()}
    for task in unfinished:
        task.cancel()
    return list(unfinished.values())
