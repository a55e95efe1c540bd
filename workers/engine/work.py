"""A stage as values: what it claims, performs and commits, and its options, grouped by purpose."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from domain.decision import Stage
from workers.engine.slots import Slots
from workers.store.agenda import Claim

Item = TypeVar("Item")  #: what a claim brings for each row
Outcome = TypeVar("Outcome")  #: what the I/O brings for each item, to be committed


#: After a transaction a stage rests for three times its duration, at most for LONGEST_REST_SECONDS. A transaction costs
#: nearly the same for one row as for twenty, and takes long where the machine or the database has much to do: the
#: busier they are, the more rows share one (decision 52).
REST_FACTOR = 3.0
LONGEST_REST_SECONDS = 0.25


def rest_after(took_seconds: float, least_seconds: float) -> float:
    """Seconds to rest after a transaction that took so long."""
    return max(least_seconds, min(REST_FACTOR * took_seconds, LONGEST_REST_SECONDS))


@dataclass(frozen=True, slots=True)
class Batching:
    """How many rows go together."""

    claim: int = 100  #: rows per claim
    group: int = 1  #: rows per ``perform``; a group takes one slot
    #: After a commit, results are gathered for at least this long before the next one (``rest_after``). After a pause
    #: the first result is committed at once.
    gather_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class Pace:
    """When a lane is claimed again without a doorbell."""

    flows: bool = False  #: rows come in a stream: a claim that found some is followed by another
    timed: bool = False  #: each row is met at its own moment, not at the next sweep
    #: At least, after a claim that found fewer rows than it asked for: such a claim costs nearly as much as a full one.
    rest_seconds: float = 0.02


@dataclass(frozen=True, slots=True)
class SlotUse:
    """What a stage does with its slots."""

    spare: int = 0  #: slots that it leaves to the other stages that share them
    until_committed: bool = False  #: a slot is free only when its result is committed, not when its I/O has ended


@dataclass(frozen=True, slots=True)
class Admission:
    """A limit that a lane asks before it claims."""

    admit: Callable[[str, int], Awaitable[tuple[int, float]]]  #: how many of n rows now, and the seconds until more
    refund: Callable[[str, int], Awaitable[None]]  #: gives back what was admitted and found no row
    #: Whether ``admit`` would let all through, as far as this process knows.
    passes: Callable[[str], bool] | None = None
    #: Looks again, where ``passes`` is false only because nobody has asked lately. Takes nothing.
    look: Callable[[str], Awaitable[None]] | None = None
    #: All processes share the limit, so while it lets nothing through none of them needs a doorbell. A provider's 429
    #: is learnt by each process for itself, and meant for all of them.
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Keeping(Generic[Outcome]):
    """What happens to results whose commit is held up."""

    #: Renews their leases for this many seconds, and keeps what can't be had again in a table where no lock is waited
    #: for. Called repeatedly.
    keep: Callable[[Sequence[Outcome], float], None]
    forget: Callable[[Sequence[Outcome]], None] | None = None  #: they were committed while they were being kept


@dataclass(frozen=True, slots=True)
class Feeding(Generic[Outcome]):
    """The stage that has work when this one commits."""

    stage: Stage
    #: Commits, given the number of reserved slots in each lane of that stage. Returns the rows it leased for them, by
    #: lane, and the results it left because somebody else has their rows locked.
    commit: Callable[[Sequence[Outcome], Mapping[str, int]], tuple[Mapping[str, Sequence[Any]], Sequence[Outcome]]]


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """While a lane with more due makes quick calls, its next rows are claimed before slots are free for them.

    Otherwise all slots would be idle for as long as a claim takes.
    """

    quick_seconds: float = 0.5  #: a call that takes longer is slow
    slow_seconds: float = 15.0  #: after a slow call nothing is claimed ahead for this long: others may hang too


@dataclass(frozen=True, slots=True)
class Work(Generic[Item, Outcome]):
    """A stage. ``claim`` and ``commit`` are synchronous calls of the store; ``perform`` is the I/O of one group."""

    stage: Stage
    lanes: Callable[[], Sequence[str]]
    slots: Callable[[str], Slots]
    claim: Callable[[str, int], Sequence[Item]]
    claim_of: Callable[[Item], Claim]
    commit: Callable[[Sequence[Outcome]], Sequence[Outcome] | None]  #: returns results whose rows somebody has locked
    #: Gives a result for each item and must not raise. None: there is no I/O, the items are their own results, and a
    #: group of them is committed as it is.
    perform: Callable[[str, Sequence[Item]], Awaitable[Sequence[Outcome]]] | None = None
    name_of: Callable[[Outcome], Mapping[str, Any]] = lambda _: {}  #: what the log says of a result that is given up
    repeatable: bool = True  #: a row that was cut short may simply be given back; a create may not
    batching: Batching = field(default_factory=Batching)
    pace: Pace = field(default_factory=Pace)
    slot_use: SlotUse = field(default_factory=SlotUse)
    admission: Admission | None = None
    keeping: Keeping[Outcome] | None = None
    feeding: Feeding[Outcome] | None = None
    read_ahead: ReadAhead | None = None


AnyWork = Work[Any, Any]
