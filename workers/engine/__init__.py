"""The pump: claim -> I/O in parallel -> commit. One pump per worker process, its lanes tasks of one event loop."""

from __future__ import annotations

from workers.engine.observer import (
    Attempted,
    EngineLog,
    Failure,
    Observer,
    Observers,
    ProviderCall,
    Step,
    StepLog,
    Trouble,
    engine_log,
)
from workers.engine.pump import Pump
from workers.engine.slots import Slots
from workers.engine.work import Admission, AnyWork, Batching, Feeding, Keeping, Pace, ReadAhead, SlotUse, Work

__all__ = [
    "Admission",
    "AnyWork",
    "Attempted",
    "Batching",
    "EngineLog",
    "Failure",
    "Feeding",
    "Keeping",
    "Observer",
    "Observers",
    "Pace",
    "ProviderCall",
    "Pump",
    "ReadAhead",
    "SlotUse",
    "Slots",
    "Step",
    "StepLog",
    "Trouble",
    "Work",
    "engine_log",
]
