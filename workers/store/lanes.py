"""Lanes of the agenda as the engine asks for them: when each has work, what lies too far away, whose look-ups are
budgeted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import structlog
from sqlalchemy import Connection

from domain.decision import Policy, Stage
from domain.looks import Look, account_of, doorbell_of, lanes_of, search_lane_of
from domain.schedule import longest_wait
from workers.store import agenda, look_ups, outbox
from workers.store.agenda import PUBLISH_LANE, Claim, Due, Lane, Lost, lease_clock
from workers.store.database import Database
from workers.store.rows import StoredRow

#: For an account that is no longer configured: its invoices still expire by the clock, and nobody is asked.
ORPHANED = Policy(
    lifetime_minutes=Decimal(60),
    timeout_seconds=10,
    on_doubt="hold",
    poll_seconds=30,
    hold_refused_minutes=Decimal(10),
    monitor_minutes=Decimal(0),
    can_be_asked=False,
)

#: So often lanes are searched for what lies too far away.
FAR_SECONDS = 10.0
#: So often look-ups are gathered that a process with other settings planned for a budget that is gone.
GATHER_SECONDS = 60.0
#: So often the open invoices of an account with a budget for look-ups are counted.
COUNT_SECONDS = 10.0

log = structlog.get_logger()


def doorbell(stage: Stage, lane: str) -> str:
    """The lane whose runner takes up what this lane of the agenda has."""
    if stage is Stage.CREATE:
        return account_of(lane)
    return doorbell_of(lane) if stage is Stage.CHECK else lane


class Lanes:
    """The lanes, and the accounts' policies that say how they are looked at."""

    def __init__(self, database: Database, policies: Mapping[str, Policy]) -> None:
        self._database = database
        self._policies = dict(policies)
        self._counted_at: dict[str, float] = {}  #: accounts with a budget, by ``lease_clock``
        self._searched_at = -FAR_SECONDS
        self._searches_first = False
        self._gathered_at = lease_clock()

    def policy_of(self, account: str) -> Policy:
        """How an account's invoices are judged."""
        return self._policies.get(account, ORPHANED)

    def longest_timeout(self) -> float:
        """Seconds; 0 without an account."""
        return max((policy.timeout_seconds for policy in self._policies.values()), default=0.0)

    def next_due(self, lanes: Sequence[Lane]) -> list[Due]:
        """When each lane has work; the stream's lane counts only while there is something to tell."""
        lanes = [one for lane in lanes for one in self._parts(lane)]
        self._search(lanes)
        if lease_clock() - self._gathered_at >= GATHER_SECONDS:
            self.gather_look_ups()
        with self._database.glancing() as connection:
            found = agenda.next_due(connection, self._database, lanes)
            if (Stage.PUBLISH, PUBLISH_LANE) in lanes and not outbox.any_untold(connection):
                found = [due for due in found if due.stage is not Stage.PUBLISH]
        return [replace(due, lane=doorbell(due.stage, due.lane)) for due in found]

    def _parts(self, lane: Lane) -> list[Lane]:
        """The agenda's lanes behind a lane of the pump."""
        stage, name = lane
        if stage is Stage.CREATE:
            return [(stage, part) for part in self._create_lanes(name)]
        if stage is not Stage.CHECK or self.policy_of(account_of(name)).look_ups_per_second is None:
            return [lane]
        return [(stage, part) for part in lanes_of(account_of(name)) if doorbell_of(part) == name]

    def _search(self, lanes: Sequence[Lane]) -> None:
        """Now and then: what lies further away than any wait was planned by a clock that has been set back since."""
        now = lease_clock()
        if now - self._searched_at < FAR_SECONDS:
            return
        self._searched_at = now
        waits = {lane: wait for lane in lanes if (wait := longest_wait(lane[0], self._poll_seconds(lane)))}
        with self._database.glancing() as connection:
            found = agenda.far_lanes(connection, self._database, waits)
        for due in found:
            lane = due.stage, due.lane
            with self._database.transaction() as connection:
                agenda.bring_near(connection, self._database, lane, waits[lane])
            far = round(due.in_seconds)
            log.warning("clock.far_ahead", stage=due.stage.value, lane=due.lane, in_seconds=far, consequence="due now")

    def _poll_seconds(self, lane: Lane) -> float:
        stage, name = lane
        return self.policy_of(account_of(name) if stage in {Stage.CHECK, Stage.CREATE} else name).poll_seconds

    def _create_lanes(self, account: str) -> list[str]:
        return [account, search_lane_of(account)] if self.policy_of(account).searchable else [account]

    def next_create_lanes(self, account: str) -> list[str]:
        """The agenda's lanes of an account's creates: the one that is claimed first is the other one the next time."""
        self._searches_first = not self._searches_first
        lanes = self._create_lanes(account)
        return lanes[::-1] if self._searches_first else lanes

    def claim_look_ups(
        self,
        connection: Connection,
        account: str,
        looks: Sequence[Look],
        limit: int,
        lease_seconds: float,
        lost: Lost,
    ) -> list[tuple[Claim, StoredRow | None]]:
        """Lease due look-ups of an account with a budget, with their invoices: one kind after the other."""
        self._count_open(connection, account)
        return look_ups.claim(connection, self._database, account, looks, limit, lease_seconds, lost)

    def _count_open(self, connection: Connection, account: str) -> None:
        """Now and then: how long an invoice's turn takes follows from it."""
        now, policy = lease_clock(), self.policy_of(account)
        if policy.look_ups_per_second is None or now - self._counted_at.get(account, -COUNT_SECONDS) < COUNT_SECONDS:
            return
        self._counted_at[account] = now
        gap_seconds = look_ups.count_open(connection, account) / policy.look_ups_per_second
        self._policies[account] = replace(policy, look_gap_seconds=gap_seconds)

    def gather_look_ups(self) -> None:
        """Where an account has no budget any more, its look-ups are due in the order of their times again."""
        self._gathered_at = lease_clock()
        budgeted = [name for name, policy in self._policies.items() if policy.look_ups_per_second is not None]
        with self._database.reading() as connection:
            strays = look_ups.strays(connection, budgeted)
        for lane in strays:
            more = True
            while more:
                with self._database.transaction() as connection:
                    more = look_ups.gather(connection, lane)
