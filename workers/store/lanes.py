"""Lanes as the engine asks for them: when each has work, what lies too far away, whose look-ups have a budget."""

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

#: For an account that is no longer configured: its invoices still expire, and its provider is not asked.
ORPHANED = Policy(
    lifetime_minutes=Decimal(60),
    timeout_seconds=10,
    on_doubt="hold",
    poll_seconds=30,
    hold_refused_minutes=Decimal(10),
    monitor_minutes=Decimal(0),
    can_be_asked=False,
)

#: Between searches for rows that lie too far away.
FAR_SECONDS = 10.0
#: Between gatherings of look-ups that a process with other settings planned for a budget that is gone.
GATHER_SECONDS = 60.0
#: Between counts of the open invoices of an account with a budget for look-ups.
COUNT_SECONDS = 10.0

log = structlog.get_logger()


def doorbell(stage: Stage, lane: str) -> str:
    """The pump's lane that takes up the rows of this lane of the agenda."""
    if stage is Stage.CREATE:
        return account_of(lane)
    return doorbell_of(lane) if stage is Stage.CHECK else lane


class Lanes:
    """The lanes, and the accounts' policies that decide how they are claimed."""

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
        """The longest time-out of any account, in seconds; 0 without accounts."""
        return max((policy.timeout_seconds for policy in self._policies.values()), default=0.0)

    def next_due(self, lanes: Sequence[Lane]) -> list[Due]:
        """When each lane has work; the stream's lane counts only while there is something to tell.

        From time to time this also brings in rows that are planned too far ahead, and gathers look-ups into turns.
        """
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
        """Now and then: a row further away than any wait can be was planned before the clock was set back. It is due
        now."""
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
        """The agenda's lanes of an account's creates. They take turns in coming first."""
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
        """Now and then: the time between two look-ups of an invoice follows from the count."""
        now, policy = lease_clock(), self.policy_of(account)
        if policy.look_ups_per_second is None or now - self._counted_at.get(account, -COUNT_SECONDS) < COUNT_SECONDS:
            return
        self._counted_at[account] = now
        gap_seconds = look_ups.count_open(connection, account) / policy.look_ups_per_second
        self._policies[account] = replace(policy, look_gap_seconds=gap_seconds)

    def gather_look_ups(self) -> None:
        """Put the look-ups of accounts that have no budget any more back into one lane, in the order of their times."""
        self._gathered_at = lease_clock()
        budgeted = [name for name, policy in self._policies.items() if policy.look_ups_per_second is not None]
        with self._database.reading() as connection:
            strays = look_ups.strays(connection, budgeted)
        for lane in strays:
            more = True
            while more:
                with self._database.transaction() as connection:
                    more = look_ups.gather(connection, lane)
