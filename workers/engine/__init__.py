"""The pump: claim -> I/O side by side -> commit, a lane each on one event loop, one pump per worker process."""

from __future__ import annotations

from workers.engine.commits import first_line
from workers.engine.engine import Pump
from workers.engine.work import Lane, Slots, Work

__all__ = ["Lane", "Pump", "Slots", "Work", "first_line"]
