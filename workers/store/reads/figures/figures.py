"""All figures of the overview, as of one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from workers.store.database import Database
from workers.store.reads.account_states import AccountState, read_account_states
from workers.store.reads.figures.arrivals import Arrivals, read_arrivals
from workers.store.reads.figures.backlogs import Backlog, read_waiting
from workers.store.reads.figures.speeds import Speeds, read_speeds
from workers.store.reads.figures.standing import Standing, read_standing
from workers.store.reads.figures.surprises import Surprises, read_surprises


@dataclass(frozen=True, slots=True)
class Figures:
    """By the database's clock."""

    now: datetime
    arrivals: Arrivals
    speeds: Speeds
    standing: Standing
    surprises: Surprises
    accounts: Sequence[AccountState]
    waiting: Mapping[str, Backlog]  #: by endpoint

    def within(self, accounts: Collection[str], endpoints: Collection[str]) -> Figures:
        """For those who see these accounts and endpoints only."""
        return replace(
            self,
            arrivals=self.arrivals.within(accounts),
            speeds=self.speeds.within(accounts, endpoints),
            standing=self.standing.within(accounts),
            surprises=self.surprises.within(accounts),
            accounts=[one for one in self.accounts if one.name in accounts],
            waiting={name: backlog for name, backlog in self.waiting.items() if name in endpoints},
        )


def read_figures(connection: Connection, database: Database, accounts: Collection[str]) -> Figures:
    """By a few dozen looks into indexes, each bounded. ``accounts``: those that are configured."""
    now = database.now(connection)
    return Figures(
        now,
        read_arrivals(connection, now),
        read_speeds(connection, now),
        read_standing(connection, now),
        read_surprises(connection, now),
        read_account_states(connection, database, accounts),
        read_waiting(connection),
    )
