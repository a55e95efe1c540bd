"""The store: what workers, intake and callbacks ask of the database, each as one short transaction. What people do is
in ``operate/``. Synchronous and safe to share between threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.decision import Policy, Stage
from domain.looks import Look
from domain.order import Order
from domain.ports import Clock
from workers.store import (
    agenda,
    deliveries,
    endpoints,
    intake,
    kept,
    live_endpoints,
    look_ups,
)
from workers.store.agenda import Claim, Due, Lane, Room
from workers.store.arrivals import Arrivals
from workers.store.callbacks import Match, NewCallback, Read
from workers.store.database import Database
from workers.store.deliveries import DeliveryAttempt
from workers.store.drifts import Drifts
from workers.store.intake import Added, Rejection
from workers.store.judge import Beside, Judge
from workers.store.judging import Judged, Judgement, Outcome
from workers.store.kept import KeptAnswer
from workers.store.lanes import Lanes, doorbell
from workers.store.leases import Leases
from workers.store.live_endpoints import LiveEndpoint
from workers.store.outbox import ClaimedDelivery
from workers.store.patience import Patience
from workers.store.publishing import Publishing
from workers.store.retention import Retention
from workers.store.rows import StoredRow
from workers.store.timekeeper import Timekeeper

#: No lease lasts longer than this many time-outs of its account and the rest, or than the long ones.
LEASE_TIME_OUTS, LEASE_REST_SECONDS, LONG_LEASE_SECONDS = 3, 10.0, 30.0


class Taken(NamedTuple):
    """What came of evidence: outcomes, webhooks leased to the caller, and judgements that were left because somebody
    else has their rows locked. The caller brings those again."""

    outcomes: list[Outcome]
    deliveries: list[ClaimedDelivery]
    left: list[Judgement]


class CallbacksJudged(NamedTuple):
    """What came of callbacks: outcomes, what each was matched with, and those that were left as in ``Taken``."""

    outcomes: list[Outcome]
    matches: list[Match]
    left: list[Claim]


class Store:
    """What the database knows and how it changes. Raises ``database.UNAVAILABLE`` while the database is away."""

    def __init__(self, database: Database, policies: Mapping[str, Policy], ring: Callable[[Lane], None]) -> None:
        self.database = database
        self._lanes = Lanes(database, policies)
        self.policy_of = self._lanes.policy_of  #: how an account's invoices are judged
        self._leases = Leases(database)
        self.publishing = Publishing(database, self._leases)  #: the stream's part
        self._patience = Patience(database)
        self._ring_lane = ring
        self._judge = Judge(database, self.policy_of, self._patience, Drifts(database, self.ring))
        self._arrivals = Arrivals(database, self.ring)
        self._retention = Retention()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    # ------------------------------------------------------------ orders in

    def add_orders(self, orders: Sequence[tuple[Order, str]], rejections: Sequence[Rejection] = ()) -> list[Added]:
        """Write queued invoices for (order, provider name) pairs, and messages that were rejected with them.

        Several threads share a transaction.
        """
        return [added for added in self._arrivals.take_in([*orders, *rejections]) if added is not None]

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Keep messages that were rejected. Several threads share a transaction."""
        self._arrivals.take_in(rejections)

    def find(self, account: str, *, order_id: str | None = None, idempotency_key: str | None = None) -> str | None:
        """The id of the newest invoice with this order id, key, or both."""
        with self.database.glancing() as connection:
            return intake.find(connection, account, order_id, idempotency_key)

    # ------------------------------------------------------------ callbacks in

    def keep_callbacks(self, callbacks_in: Sequence[NewCallback]) -> list[bool]:
        """Keep providers' callbacks; False for one that is kept already."""
        return self._arrivals.keep_callbacks(callbacks_in)

    def judge_callbacks(self, claims: Sequence[Claim], read: Read) -> CallbacksJudged:
        """Match claimed callbacks with their invoices and judge what they say, all in one transaction."""
        judged, matches = self._judge.judge_callbacks(claims, read)
        done = {one.claim for one in matches}
        return CallbacksJudged(self._ring_for(judged), matches, [claim for claim in claims if claim not in done])

    # ------------------------------------------------------------ evidence

    def judge(self, judgements: Sequence[Judgement], beside: Beside | None = None) -> list[Outcome]:
        """Judge evidence against the invoices as they are now, all in one transaction. Locked rows are waited for.
        ``beside`` writes in the same transaction, who asked for it for example."""
        return self._ring_for(self._judge.judge(judgements, beside))

    def judge_and_take(self, judgements: Sequence[Judgement], room: Room | None) -> Taken:
        """The same, and lease the webhooks it brings as far as there is room: the caller sends them."""
        judged = self._judge.judge_and_take(judgements, room)
        left = [judgement for judgement in judgements if judgement.invoice_id in judged.left]
        return Taken(self._ring_for(judged), judged.deliveries, left)

    def _ring_for(self, judged: Judged) -> list[Outcome]:
        """Ring for the work it brings. Returns its outcomes."""
        self.ring(judged.lanes)
        return judged.outcomes

    # ------------------------------------------------------------ the agenda

    def claim(self, stage: Stage, lane: str, limit: int, lease_seconds: float) -> list[Claim]:
        """Lease up to ``limit`` due rows of a lane."""
        return self._leases.take(
            lambda connection, lost: agenda.claim(connection, self.database, stage, lane, limit, lease_seconds, lost)
        )

    def claim_invoices(
        self, stage: Stage, lane: str, limit: int, lease_seconds: float
    ) -> list[tuple[Claim, StoredRow | None]]:
        """Lease due rows together with their invoices; an invoice that is gone comes as None."""
        return self._leases.take(
            lambda connection, lost: agenda.claim_invoices(
                connection, self.database, stage, lane, limit, lease_seconds, lost
            )
        )

    def claim_look_ups(
        self, account: str, looks: Sequence[Look], limit: int, lease_seconds: float
    ) -> list[tuple[Claim, StoredRow | None]]:
        """Lease due look-ups of an account with a budget, with their invoices: one kind after the other."""
        return self._leases.take(
            lambda connection, lost: self._lanes.claim_look_ups(connection, account, looks, limit, lease_seconds, lost)
        )

    def put_back(self, claims: Sequence[Claim]) -> None:
        """Give back look-ups that nobody was asked about: they come next."""
        with self.database.transaction() as connection:
            look_ups.put_back(connection, self.database, claims)

    def gather_look_ups(self) -> None:
        """Put the look-ups of accounts that have no budget any more back into one lane, in the order of their times."""
        self._lanes.gather_look_ups()

    def claim_creates(
        self, lane: str, limit: int, lease_seconds: float
    ) -> list[tuple[Claim, StoredRow | None, KeptAnswer | None]]:
        """Lease due creates, each with its invoice and, where a call was made before, its kept answer."""
        lanes = self._lanes.next_create_lanes(lane)
        return self._leases.take(
            lambda connection, lost: kept.claim_creates(connection, self.database, lanes, limit, lease_seconds, lost)
        )

    def keep(self, judgements: Sequence[Judgement], seconds: float) -> None:
        """Keep what creates have brought while its commit is held up, and renew the leases for this many seconds."""
        self._judge.keep(judgements)
        self.renew([one.claim for one in judgements if one.claim is not None], seconds)

    def forget(self, judgements: Sequence[Judgement]) -> None:
        """These were committed while they were being kept."""
        self._judge.forget(judgements)

    def renew(self, claims: Sequence[Claim], seconds: float) -> None:
        """Let leases last at least this long from now: their work is done, and waits for its commit."""
        with self.database.transaction() as connection:
            kept.renew(connection, claims, self.database.now(connection), seconds)

    def release(self, claims: Sequence[Claim]) -> None:
        """Give rows back as if never claimed: they are due at once."""
        with self.database.transaction() as connection:
            agenda.release(connection, claims, self.database.now(connection))

    def next_due(self, lanes: Sequence[Lane]) -> list[Due]:
        """When each lane has work; the stream's lane counts only while there is something to tell."""
        return self._lanes.next_due(lanes)

    # ------------------------------------------------------------ what always stands on the agenda

    def add_standing(self) -> None:
        """Make sure of the agenda's standing rows: the stream's, and that of the removal of what is old."""
        with self.database.transaction() as connection:
            agenda.add_standing(connection, self.database)

    def remove_finished(self, older_than: timedelta, *, archived: bool = False) -> int:
        """Remove one batch of what is finished and old. Returns how many rows. ``archived``: not what belongs to an
        invoice."""
        with self.database.transaction() as connection:
            before = self.database.now(connection) - older_than
            return self._retention.remove_finished(connection, before, archived=archived)

    def remove_leftovers(self) -> int:
        """Remove deliveries that were written for an endpoint while it was being removed. Returns how many."""
        return endpoints.remove_leftovers(self.database)

    def finish(self, claim: Claim, wait_seconds: float) -> None:
        """Free a standing row, to be due again after ``wait_seconds``."""
        with self.database.transaction() as connection:
            agenda.finish(connection, claim, self.database.now(connection) + timedelta(seconds=wait_seconds))

    # ------------------------------------------------------------ webhooks

    def live_endpoints(self) -> list[LiveEndpoint]:
        """The enabled endpoints."""
        with self.database.glancing() as connection:
            return live_endpoints.live_endpoints(connection, self.database)

    def live_endpoints_in_use(self, used: Collection[str]) -> list[LiveEndpoint]:
        """The same if there are few; of many, those with something to send and those in ``used``."""
        with self.database.glancing() as connection:
            return live_endpoints.live_endpoints_in_use(connection, self.database, used)

    def claim_deliveries(self, endpoint: str, limit: int, lease_seconds: float) -> list[ClaimedDelivery]:
        """Lease due webhooks of an endpoint, with what is to be sent."""
        return self._leases.take(
            lambda connection, lost: deliveries.claim(connection, self.database, endpoint, limit, lease_seconds, lost)
        )

    def settle(self, attempts: Sequence[DeliveryAttempt]) -> None:
        """Write down what came of attempts and point each pair at its next delivery."""
        with self.database.transaction() as connection:
            endpoints = deliveries.settle(connection, self.database, attempts)
        self.ring({(Stage.DELIVER, endpoint) for endpoint in endpoints})

    def settle_free(self, attempts: Sequence[DeliveryAttempt]) -> list[DeliveryAttempt]:
        """The same, except those whose rows somebody else keeps locked: they are returned, to be brought again."""
        endpoints, left = deliveries.settle_free(self.database, self._patience, attempts)
        self.ring({(Stage.DELIVER, endpoint) for endpoint in endpoints})
        return left

    # ------------------------------------------------------------ time and doorbells

    def timekeeper(self, clock: Clock | None = None) -> Timekeeper:
        """What watches the database's clock for this process, and compares the host's, ``clock``."""
        lease = max(LEASE_TIME_OUTS * self._lanes.longest_timeout() + LEASE_REST_SECONDS, LONG_LEASE_SECONDS)
        return Timekeeper(self.database, lease, clock)

    def now(self) -> datetime:
        """The database's time."""
        with self.database.glancing() as connection:
            return self.database.now(connection)

    def ring(self, lanes: set[Lane]) -> None:
        """Say that these lanes have work."""
        for stage, name in sorted({(stage, doorbell(stage, name)) for stage, name in lanes}):
            self._ring_lane((stage, name))
