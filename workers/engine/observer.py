"""What happens in the engine and its stages, told step by step. Logging is one listener, metrics are another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

import structlog

from domain.decision import Stage
from workers.store.database import first_line
from workers.store.judging import Outcome

log = structlog.get_logger()


class Step(StrEnum):
    """What the engine does with rows."""

    CLAIM = "claim"
    PERFORM = "perform"
    COMMIT = "commit"


class Trouble(StrEnum):
    """What can go wrong, by its name in the log."""

    STORE_AWAY = "store.unavailable"
    LANE_FAILED = "pump.lane_failed"
    WORK_FAILED = "pump.work_failed"
    COMMIT_FAILED = "pump.commit_failed"
    COMMITTER_ENDED = "pump.committer_ended"  #: by a bug; it is started again
    COMMIT_TOO_SLOW = "pump.commit_too_slow"
    RESULTS_WAIT = "pump.results_wait"  #: for a row that somebody else has locked
    GIVEN_UP = "pump.result_given_up"
    LEFT_TO_ITS_LEASE = "pump.result_left_to_its_lease"  #: given up here, but kept in the database
    NOT_KEPT = "pump.results_not_kept"
    KEEPING_FAILED = "pump.keeping_failed"
    CUT_SHORT = "pump.cut_short"


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong."""

    trouble: Trouble
    stage: Stage | None = None
    error: BaseException | None = None
    fields: Mapping[str, object] = field(default_factory=dict)  #: for the log: how many rows, which one


class ProviderCall(NamedTuple):
    """What came of a create, a search, or a group of look-ups."""

    account: str
    call: Literal["create", "search", "look_up"]
    outcome: str  #: a word of ours, see ``workers/stages/told.py``
    seconds: float
    calls: int = 1  #: requests that it took


class Attempted(NamedTuple):
    """One delivery attempt. ``first_try_seconds``: from the change to the start of its first attempt;
    ``delivered_seconds``: to that attempt's success. None for repeats, replays and endpoints that have been failing."""

    endpoint: str
    outcome: str
    first_try_seconds: float | None = None
    delivered_seconds: float | None = None


class Observer:
    """Is told of each step, on the event loop (``judged``: in a thread of the store), and must return at once. Override
    what you need."""

    def started(self, stages: Sequence[Stage]) -> None:
        """The engine claims from now on."""

    def stopped(self) -> None:
        """Nothing is under way any more."""

    def claimed(self, stage: Stage, lane: str, asked: int, rows: int) -> None:
        """A claim of up to ``asked`` rows found ``rows``."""

    def throttled(self, stage: Stage, lane: str, seconds: float) -> None:
        """The lane's limit lets nothing more through; it is asked again after ``seconds``."""

    def performed(self, stage: Stage, lane: str, rows: int, seconds: float) -> None:
        """The I/O of a group of rows has ended, well or not."""

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """A transaction wrote ``results``; another ``left`` wait for rows that are locked."""

    def handled(self, step: Step, stage: Stage, lane: str | None, rows: Sequence[object], seconds: float) -> None:
        """The same steps, for a listener that looks at the rows themselves: those that were claimed, those whose I/O
        has ended, the results that were written (of several lanes)."""

    def failed(self, failure: Failure) -> None:
        """Something went wrong. The engine goes on."""

    def called(self, call: ProviderCall) -> None:
        """A provider was called, and has answered or not."""

    def judged(self, outcomes: Sequence[Outcome]) -> None:
        """Evidence was applied and committed."""

    def attempted(self, attempt: Attempted) -> None:
        """A webhook was sent, and taken or not."""


#: Bugs, logged with their traceback.
_BUGS = {
    Trouble.LANE_FAILED,
    Trouble.WORK_FAILED,
    Trouble.COMMIT_FAILED,
    Trouble.COMMITTER_ENDED,
    Trouble.KEEPING_FAILED,
}
_LEVELS = dict.fromkeys((*_BUGS, Trouble.GIVEN_UP, Trouble.LEFT_TO_ITS_LEASE), "error") | {Trouble.NOT_KEPT: "info"}


class EngineLog(Observer):
    """Logs the start, the end and what goes wrong. Not ``judged``: the stages log a line for each invoice."""

    def started(self, stages: Sequence[Stage]) -> None:
        """Whoever waits for a worker to be ready waits for this line."""
        log.info("pump.started", stages=[stage.value for stage in stages])

    def stopped(self) -> None:
        """The last line of a worker's engine."""
        log.info("pump.stopped")

    def failed(self, failure: Failure) -> None:
        """A warning, unless it is a bug or loses a result."""
        fields = dict(failure.fields)
        if failure.stage is not None:
            fields["stage"] = failure.stage.value
        if failure.trouble in _BUGS:
            fields["exc_info"] = failure.error
        elif failure.error is not None:
            fields["error"] = first_line(failure.error)
        getattr(log, _LEVELS.get(failure.trouble, "warning"))(failure.trouble.value, **fields)


class StepLog(EngineLog):
    """Logs every other step too, at level debug. Not ``handled``: it repeats the other steps."""

    def claimed(self, stage: Stage, lane: str, asked: int, rows: int) -> None:
        """Each claim."""
        log.debug("pump.claimed", stage=stage.value, lane=lane, asked=asked, rows=rows)

    def throttled(self, stage: Stage, lane: str, seconds: float) -> None:
        """Each wait for a limit."""
        log.debug("pump.throttled", stage=stage.value, lane=lane, seconds=round(seconds, 3))

    def performed(self, stage: Stage, lane: str, rows: int, seconds: float) -> None:
        """Each group of rows."""
        log.debug("pump.performed", stage=stage.value, lane=lane, rows=rows, seconds=round(seconds, 3))

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """Each transaction."""
        log.debug("pump.committed", stage=stage.value, results=results, left=left, seconds=round(seconds, 3))

    def called(self, call: ProviderCall) -> None:
        """Each call, or group of look-ups."""
        told = {"account": call.account, "call": call.call, "outcome": call.outcome, "calls": call.calls}
        log.debug("provider.called", **told, seconds=round(call.seconds, 3))

    def attempted(self, attempt: Attempted) -> None:
        """Each delivery attempt."""
        log.debug("webhook.attempted", endpoint=attempt.endpoint, outcome=attempt.outcome)


def engine_log(level: str) -> EngineLog:
    """The log for this level: what would not be written is not even told."""
    return StepLog() if level == "debug" else EngineLog()


class Observers(Observer):
    """Tells several listeners, each only of the steps that it listens to. A listener that fails is logged and holds up
    nothing."""

    def __init__(self, *observers: Observer) -> None:
        self._listeners: list[Observer] = [
            one for each in observers for one in (each._listeners if isinstance(each, Observers) else [each])
        ]
        self._listening = {step: _listening(step, self._listeners) for step in _STEPS}

    def started(self, stages: Sequence[Stage]) -> None:
        """See ``Observer``, as for all others."""
        self._tell("started", stages)

    def stopped(self) -> None:
        """Once."""
        self._tell("stopped")

    def claimed(self, stage: Stage, lane: str, asked: int, rows: int) -> None:
        """For each claim."""
        self._tell("claimed", stage, lane, asked, rows)

    def throttled(self, stage: Stage, lane: str, seconds: float) -> None:
        """For each wait."""
        self._tell("throttled", stage, lane, seconds)

    def performed(self, stage: Stage, lane: str, rows: int, seconds: float) -> None:
        """For each group."""
        self._tell("performed", stage, lane, rows, seconds)

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """For each transaction."""
        self._tell("committed", stage, results, left, seconds)

    def handled(self, step: Step, stage: Stage, lane: str | None, rows: Sequence[object], seconds: float) -> None:
        """For each claim that found some, each group and each transaction."""
        self._tell("handled", step, stage, lane, rows, seconds)

    def failed(self, failure: Failure) -> None:
        """For each failure."""
        self._tell("failed", failure)

    def called(self, call: ProviderCall) -> None:
        """For each call."""
        self._tell("called", call)

    def judged(self, outcomes: Sequence[Outcome]) -> None:
        """For each transaction."""
        self._tell("judged", outcomes)

    def attempted(self, attempt: Attempted) -> None:
        """For each attempt."""
        self._tell("attempted", attempt)

    def _tell(self, step: str, *what: object) -> None:
        for listen in self._listening[step]:
            try:
                listen(*what)
            except Exception:
                log.exception("pump.observer_failed", step=step)


_STEPS = tuple(name for name in vars(Observer) if not name.startswith("_"))


def _listening(step: str, listeners: Sequence[Observer]) -> list[Callable[..., None]]:
    """This method of the listeners that override it: most steps come with every row, and few listeners want them."""
    return [getattr(one, step) for one in listeners if getattr(type(one), step) is not getattr(Observer, step)]
