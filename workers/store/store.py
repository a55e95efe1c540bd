"""The store: every write of the system as one short transaction. Synchronous and safe to share between threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from domain.decision import Policy, Stage
from domain.evidence import Created
from domain.looks import Look, account_of, doorbell_of, lanes_of
from domain.ports import Clock
from domain.schedule import STANDING_WAITS, longest_wait
from domain.status import Status
from workers.store import (
    agenda,
    callbacks,
    deliveries,
    endpoints,
    fence,
    intake,
    judging,
    kept,
    look_ups,
    outbox,
    retention,
)
from workers.store.agenda import PUBLISH_LANE, Claim, Due, Lost, Room, lease_clock
from workers.store.bulk import Locks
from workers.store.callbacks import Match, NewCallback, Read
from workers.store.clock import ClockInDoubt
from workers.store.database import Database, is_locked_out
from workers.store.deliveries import Receiver, Try
from workers.store.group import GroupCommit
from workers.store.intake import Added, Rejection
from workers.store.judging import Judged, Judgement, Outcome
from workers.store.kept import Kept
from workers.store.outbox import PairsHeld, Parcel, Unpublished
from workers.store.timekeeper import Timekeeper

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

#: Two transactions may bind one provider_ref at the same moment. The second one's next look sees whose it is.
CONFLICT_TRIES = 3

#: No lease lasts longer than so many time-outs of its account and the rest, or than this.
LEASE_TIME_OUTS, LEASE_REST_SECONDS, LONG_LEASE_SECONDS = 3, 10.0, 30.0
#: A clock that nobody looks at holds lost rows up for so long at most; then its word is taken after all.
DOUBT_SECONDS = 60.0
#: A doubt that nobody met for so long is over.
DOUBT_ENDS_SECONDS = 5.0
#: So often lanes are searched for what lies too far away.
FAR_SECONDS = 10.0
#: So often the open invoices of an account with a budget for look-ups are counted.
COUNT_SECONDS = 10.0

log = structlog.get_logger()
#: After a lock that was waited for, what is locked is looked for first for so long: the next batch may meet it too.
CAREFUL_SECONDS = 30.0
SLOW_SECONDS = 0.5  #: a transaction that failed at a lock after that had waited for it

Lane = tuple[Stage, str]
Held = TypeVar("Held")
#: What is written in the transaction that judges, once it is known what came of it.
Beside = Callable[[Connection, list[Outcome]], None]


class Taken(NamedTuple):
    """What came of evidence: outcomes, webhooks leased to who brought it, and what was left, its rows being locked."""

    outcomes: list[Outcome]
    parcels: list[Parcel]
    left: list[Judgement]


class CallbacksJudged(NamedTuple):
    """What came of callbacks: outcomes, what each was matched with, and those that were left, rows being locked."""

    outcomes: list[Outcome]
    matches: list[Match]
    left: list[Claim]


class Store:
    """What the database knows and how it changes. Raises ``database.UNAVAILABLE`` while the database is away."""

    def __init__(self, database: Database, policies: Mapping[str, Policy], ring: Callable[[Lane], None]) -> None:
        self.database = database
        self._policies = dict(policies)
        self._counted_at: dict[str, float] = {}  #: accounts with a budget, by ``lease_clock``
        self._bell = ring
        self._intake = GroupCommit(self._take_in)
        self._callbacks = GroupCommit(self._keep_callbacks)
        self._doubts: tuple[float, float] | None = None  #: of the clock: since when, and the last; by ``lease_clock``
        self._searched_at = -FAR_SECONDS
        self._kept: set[tuple[str, str]] = set()  #: answers kept by this process: by invoice and token
        self._careful_until = 0.0

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    # ------------------------------------------------------------ orders in

    def add_orders(self, orders: Sequence[tuple[Any, str]], rejections: Sequence[Rejection] = ()) -> list[Added]:
        """Write queued invoices for (order, provider name) pairs, and what came with them and was turned away.

        One transaction; what several threads bring shares it.
        """
        added: list[Any] = self._intake.add([*orders, *rejections])
        return added[: len(orders)]

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Keep messages that were turned away; what several threads bring shares a transaction."""
        self._intake.add(rejections)

    def _take_in(self, items: Sequence[Any]) -> list[Added | None]:
        """Orders and rejections in one transaction; the lanes are rung after the commit."""
        orders = [item for item in items if not isinstance(item, Rejection)]
        rejections = [item for item in items if isinstance(item, Rejection)]
        with self.database.transaction() as connection:
            now = self.database.now(connection)
            added = intake.add_orders(connection, now, orders)
            lanes = intake.reject(connection, now, rejections)
        accepted = {
            order.account for (order, _), result in zip(orders, added, strict=True) if result.outcome == "accepted"
        }
        self.ring({(Stage.CREATE, account) for account in accepted} | lanes)
        results = iter(added)
        return [None if isinstance(item, Rejection) else next(results) for item in items]

    def find(self, account: str, *, order_id: str | None = None, idempotency_key: str | None = None) -> str | None:
        """The id of the newest invoice with this order id and, or, key."""
        with self.database.glancing() as connection:
            return intake.find(connection, account, order_id, idempotency_key)

    # ------------------------------------------------------------ callbacks in

    def keep_callbacks(self, callbacks_in: Sequence[NewCallback]) -> list[bool]:
        """Keep providers' callbacks; False for one that is kept already. What several threads bring shares a
        transaction."""
        return self._callbacks.add(callbacks_in)

    def _keep_callbacks(self, callbacks_in: Sequence[NewCallback]) -> list[bool]:
        with self.database.transaction() as connection:
            kept = callbacks.keep(connection, self.database, callbacks_in)
        fresh = {one.account for one, is_new in zip(callbacks_in, kept, strict=True) if is_new}
        self.ring({(Stage.CALLBACK, account) for account in fresh})
        return kept

    def judge_callbacks(self, claims: Sequence[Claim], read: Read) -> CallbacksJudged:
        """Match claimed callbacks with their invoices and judge what they say, all in one transaction.

        What somebody else keeps locked is left, and to be brought again: it holds up no other.
        """
        judged, matches = self._at_once(
            lambda locks: self._judge_callbacks(claims, read, locks), lambda: self._judge_free_callbacks(claims, read)
        )
        done = {one.claim for one in matches}
        return CallbacksJudged(self._told(judged), matches, [claim for claim in claims if claim not in done])

    def _judge_free_callbacks(self, claims: Sequence[Claim], read: Read) -> tuple[Judged, list[Match]]:
        """Those that nobody else holds anything of. Which invoices they need shows when they are matched: once more
        without those that are held."""
        held: frozenset[str] = frozenset()
        while True:
            try:
                return self._judge_callbacks(claims, read, "skip", held)
            except PairsHeld as pairs:
                held |= pairs.invoices
                self._careful_until = time.monotonic() + CAREFUL_SECONDS

    def _judge_callbacks(
        self, claims: Sequence[Claim], read: Read, locks: Locks, held: frozenset[str] = frozenset()
    ) -> tuple[Judged, list[Match]]:
        with self.database.transaction() as connection:
            if locks == "skip":
                claims = callbacks.free_claims(connection, claims)
            found = callbacks.match(connection, self.policy_of, claims, read)
            matches = [one for one in found if held.isdisjoint(said.invoice_id for said in one.judgements)]
            judgements = [judgement for one in matches for judgement in one.judgements]
            judged = judging.judge(connection, self.database, self.policy_of, judgements, None, locks)
            if judged.left:
                raise PairsHeld(judged.left)
            callbacks.settle(connection, matches)
        return judged, matches

    def unmatched_callbacks(self, limit: int = 0) -> Sequence[Any]:
        """Callbacks that no invoice is known for, newest first; 0: all."""
        with self.database.glancing() as connection:
            return callbacks.unmatched(connection, limit)

    # ------------------------------------------------------------ evidence

    def judge(self, judgements: Sequence[Judgement], beside: Beside | None = None) -> list[Outcome]:
        """Judge evidence against the invoices as they are now, all in one transaction. Rows that somebody has locked
        are waited for. ``beside`` writes down in the same transaction who asked for it."""
        return self._told(self._judged(judgements, None, "wait", beside))

    def judge_and_take(self, judgements: Sequence[Judgement], room: Room | None) -> Taken:
        """The same, and lease the webhooks that it brings as far as there is room: who calls this sends them.

        What somebody else keeps locked is left, and to be brought again: it holds up no other.
        """
        judged = self._at_once(
            lambda locks: self._judged(judgements, room, locks), lambda: self._judge_free(judgements, room)
        )
        left = [judgement for judgement in judgements if judgement.invoice_id in judged.left]
        return Taken(self._told(judged), judged.parcels, left)

    def _at_once(self, do: Callable[[Locks], Any], do_carefully: Callable[[], Any]) -> Any:
        """Carefully only where something is locked: that costs a few statements more."""
        begun_at = time.monotonic()
        if self.database.is_postgresql and begun_at < self._careful_until:
            return do_carefully()
        try:
            return do("at once")
        except OperationalError as error:
            if not is_locked_out(error):
                raise
        if time.monotonic() - begun_at > SLOW_SECONDS:
            self._careful_until = time.monotonic() + CAREFUL_SECONDS
        return do_carefully()

    def _judge_free(self, judgements: Sequence[Judgement], room: Room | None) -> Judged:
        """What nobody else has locked. Some locks show only when all is decided: then once more without these."""
        held: frozenset[str] = frozenset()
        while True:
            free = [judgement for judgement in judgements if judgement.invoice_id not in held]
            try:
                judged = self._judged(free, room, "skip")
            except PairsHeld as pairs:
                held |= pairs.invoices
                self._careful_until = time.monotonic() + CAREFUL_SECONDS
            else:
                return judged._replace(left=judged.left | held)

    def _judged(
        self, judgements: Sequence[Judgement], room: Room | None, locks: Locks, beside: Beside | None = None
    ) -> Judged:
        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                with self.database.transaction() as connection:
                    judged = judging.judge(connection, self.database, self.policy_of, judgements, room, locks)
                    if beside is not None:
                        beside(connection, judged.outcomes)
                    taken = [one for one in judgements if one.invoice_id not in judged.left]
                    done = self._kept_of(taken)
                    kept.forget(connection, done)
                    judged = judged._replace(lanes=judged.lanes | self._recall_callbacks(connection, taken, judged))
                break
            except IntegrityError:
                if not tries_left:
                    raise
        self._kept.difference_update(done)
        return judged

    def _kept_of(self, judgements: Sequence[Judgement]) -> list[tuple[str, str]]:
        """The kept answers that are judged with these."""
        own = {(one.invoice_id, one.claim.token) for one in judgements if one.claim is not None} & self._kept
        return [*own, *((one.invoice_id, one.kept_under) for one in judgements if one.kept_under is not None)]

    def _told(self, judged: Judged) -> list[Outcome]:
        """Ring for what it brings; its outcomes."""
        lanes = judged.lanes
        if any(outcome.event_type for outcome in judged.outcomes):
            lanes = lanes | {(Stage.PUBLISH, PUBLISH_LANE)}
        self.ring(lanes)
        return judged.outcomes

    def _recall_callbacks(self, connection: Connection, judgements: Sequence[Judgement], judged: Judged) -> set[Lane]:
        """Callbacks that came before their invoices were made are judged again now."""
        orders = [
            (one.claim.lane if one.claim else outcome.account or "", outcome.order_id)  # who made it is who calls back
            for one, outcome in zip(judgements, judged.outcomes, strict=True)
            if isinstance(one.evidence, Created) and outcome.verdict == "applied" and outcome.order_id
        ]
        found = callbacks.recall(connection, self.database, orders)
        return {(Stage.CALLBACK, account) for account, _ in orders} if found else set()

    def policy_of(self, account: str) -> Policy:
        """How an account's invoices are judged."""
        return self._policies.get(account, ORPHANED)

    # ------------------------------------------------------------ the agenda

    def claim(self, stage: Stage, lane: str, limit: int, lease_seconds: float) -> list[Claim]:
        """Lease up to ``limit`` due rows of a lane."""

        def take(connection: Connection, lost: Lost) -> list[Claim]:
            return agenda.claim(connection, self.database, stage, lane, limit, lease_seconds, lost)

        return self._lease(take)

    def claim_invoices(self, stage: Stage, lane: str, limit: int, lease_seconds: float) -> list[tuple[Claim, Any]]:
        """Lease due rows together with their invoices; an invoice that is gone comes as None."""

        def take(connection: Connection, lost: Lost) -> list[tuple[Claim, Any]]:
            return agenda.claim_invoices(connection, self.database, stage, lane, limit, lease_seconds, lost)

        return self._lease(take)

    def claim_look_ups(
        self, account: str, looks: Sequence[Look], limit: int, lease_seconds: float
    ) -> list[tuple[Claim, Any]]:
        """Lease due look-ups of an account with a budget, with their invoices: one kind after the other."""

        def take(connection: Connection, lost: Lost) -> list[tuple[Claim, Any]]:
            self._count_open(connection, account)
            return look_ups.claim(connection, self.database, account, looks, limit, lease_seconds, lost)

        return self._lease(take)

    def _count_open(self, connection: Connection, account: str) -> None:
        """Now and then: how long an invoice's turn takes follows from it."""
        now, policy = lease_clock(), self.policy_of(account)
        if policy.look_ups_per_second is None or now - self._counted_at.get(account, -COUNT_SECONDS) < COUNT_SECONDS:
            return
        self._counted_at[account] = now
        gap_seconds = look_ups.count_open(connection, account) / policy.look_ups_per_second
        self._policies[account] = replace(policy, look_gap_seconds=gap_seconds)

    def put_back(self, claims: Sequence[Claim]) -> None:
        """Give look-ups back that nobody was asked about: they are the next."""
        with self.database.transaction() as connection:
            look_ups.put_back(connection, self.database, claims)

    def gather_look_ups(self) -> None:
        """Where an account has no budget any more, its look-ups are due in the order of their times again."""
        budgeted = [name for name, policy in self._policies.items() if policy.look_ups_per_second is not None]
        with self.database.reading() as connection:
            strays = look_ups.strays(connection, budgeted)
        for lane in strays:
            more = True
            while more:
                with self.database.transaction() as connection:
                    more = look_ups.gather(connection, lane)

    def _lease(self, take: Callable[[Connection, Lost], list[Held]]) -> list[Held]:
        """One transaction; a second one, for what nobody holds, where the clock may have been set."""
        try:
            with self.database.transaction() as connection:
                return take(connection, "ask")
        except ClockInDoubt:
            lost: Lost = "take" if self._doubted_for_long() else "leave"
        with self.database.transaction() as connection:
            return take(connection, lost)

    def _doubted_for_long(self) -> bool:
        now = lease_clock()
        since, last = self._doubts or (now, now)
        if now - last > DOUBT_ENDS_SECONDS:
            since = now
        self._doubts = since, now
        if now - since < DOUBT_SECONDS:
            return False
        log.warning("clock.unwatched", seconds=round(now - since), consequence="leases are taken to be over as it says")
        return True

    def claim_creates(self, lane: str, limit: int, lease_seconds: float) -> list[tuple[Claim, Any, Kept | None]]:
        """Lease due creates, each with its invoice and, before a call is made again or given up, what an earlier one
        brought that could not be committed yet."""

        def take(connection: Connection, lost: Lost) -> list[tuple[Claim, Any, Kept | None]]:
            claimed = agenda.claim_invoices(connection, self.database, Stage.CREATE, lane, limit, lease_seconds, lost)
            again = {
                claim.subject: claim.lost_token
                for claim, invoice in claimed
                if claim.lost or (invoice is not None and invoice.status == Status.IN_DOUBT)
            }
            answers = kept.find_kept(connection, again)
            return [(claim, invoice, answers.get(claim.subject)) for claim, invoice in claimed]

        return self._lease(take)

    def keep(self, judgements: Sequence[Judgement], seconds: float) -> None:
        """Keep what creates have brought while its commit is held up, and the leases that it came under for so long."""
        answers = [
            (one.claim, one.evidence) for one in judgements if one.claim is not None and one.claim.stage is Stage.CREATE
        ]
        new = [pair for pair in answers if (pair[0].subject, pair[0].token) not in self._kept]
        if new:
            keys = {(claim.subject, claim.token) for claim, _ in new}
            self._kept |= keys
            try:
                with self.database.transaction() as connection:
                    kept.keep(connection, new, self.database.now(connection))
            except BaseException:  # not kept: to be tried again
                self._kept -= keys
                raise
        self.renew([one.claim for one in judgements if one.claim is not None], seconds)

    def forget(self, judgements: Sequence[Judgement]) -> None:
        """These were committed while they were being kept."""
        keys = [(one.invoice_id, one.claim.token) for one in judgements if one.claim is not None]
        with self.database.transaction() as connection:
            kept.forget(connection, keys)
        self._kept.difference_update(keys)

    def renew(self, claims: Sequence[Claim], seconds: float) -> None:
        """Let leases last for so long from now at least: their work is done, and waits for its commit."""
        with self.database.transaction() as connection:
            kept.renew(connection, claims, self.database.now(connection), seconds)

    def release(self, claims: Sequence[Claim]) -> None:
        """Give rows back untouched: they are due at once for whoever asks next."""
        with self.database.transaction() as connection:
            agenda.release(connection, claims, self.database.now(connection))

    def next_due(self, lanes: Sequence[Lane]) -> list[Due]:
        """When each lane has work; the stream's lane counts only while there are unpublished events."""
        lanes = [one for lane in lanes for one in self._parts(lane)]
        self._search(lanes)
        with self.database.glancing() as connection:
            found = agenda.next_due(connection, self.database, lanes)
            if (Stage.PUBLISH, PUBLISH_LANE) in lanes and not outbox.any_unpublished(connection):
                found = [due for due in found if due.stage is not Stage.PUBLISH]
        return [replace(due, lane=_doorbell(due.stage, due.lane)) for due in found]

    def _parts(self, lane: Lane) -> list[Lane]:
        """The agenda's lanes behind a lane of the pump."""
        stage, name = lane
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
        with self.database.glancing() as connection:
            found = agenda.far_lanes(connection, self.database, waits)
        for due in found:
            lane = due.stage, due.lane
            with self.database.transaction() as connection:
                agenda.bring_near(connection, self.database, lane, waits[lane])
            far = round(due.in_seconds)
            log.warning("clock.far_ahead", stage=due.stage.value, lane=due.lane, in_seconds=far, consequence="due now")

    def _poll_seconds(self, lane: Lane) -> float:
        stage, name = lane
        return self.policy_of(account_of(name) if stage is Stage.CHECK else name).poll_seconds

    # ------------------------------------------------------------ events out

    def add_standing(self) -> None:
        """Make sure of the rows that always stand on the agenda: the stream's, and the removal of what is old."""
        with self.database.transaction() as connection:
            agenda.add_standing(connection, self.database)

    def claim_publisher(self, limit: int, lease_seconds: float) -> list[Claim]:
        """Lease the stream's row, but only while there is something to tell: the row itself is always due."""
        with self.database.glancing() as connection:
            if not outbox.any_unpublished(connection):
                return []

        def take(connection: Connection, lost: Lost) -> list[Claim]:
            lane = Stage.PUBLISH, PUBLISH_LANE
            agenda.bring_near(connection, self.database, lane, STANDING_WAITS[Stage.PUBLISH])
            claims = agenda.claim(connection, self.database, *lane, limit, lease_seconds, lost)
            return [fence.raise_fence(connection, claim) for claim in claims]

        return self._lease(take)

    def lift_fence(self, claim: Claim, above: int) -> int | None:
        """A fence beyond what the stream has been told, for who still holds its row; None for who does not."""
        with self.database.transaction() as connection:
            return fence.lift_fence(connection, claim, above, self.database.now(connection))

    def unpublished(self, limit: int, without: Sequence[int] = ()) -> list[Unpublished]:
        """The oldest events that the stream has not been told, but for those it is just being told."""
        with self.database.glancing() as connection:
            return outbox.unpublished(connection, limit, without)

    def mark_published(self, numbers: Sequence[int]) -> None:
        """The stream has these. What somebody keeps locked stays as it is, and is told again."""
        try:
            with self.database.transaction() as connection:
                outbox.mark_published(connection, numbers, self.database.now(connection))
        except OperationalError as error:
            if not is_locked_out(error):
                raise
            with self.database.transaction() as connection:
                free = outbox.unlocked_events(connection, numbers)
                outbox.mark_published(connection, free, self.database.now(connection))

    def remove_finished(self, older_than: timedelta) -> int:
        """Remove one batch of what is finished and old; how many rows went."""
        with self.database.transaction() as connection:
            return retention.remove_finished(connection, self.database.now(connection) - older_than)

    def remove_leftovers(self) -> int:
        """Remove deliveries that were written for an endpoint while it was being removed; how many went."""
        return endpoints.remove_leftovers(self.database)

    def finish(self, claim: Claim, wait_seconds: float) -> None:
        """A row that always stands on the agenda is free again, and due after ``wait_seconds``."""
        with self.database.transaction() as connection:
            agenda.finish(connection, claim, self.database.now(connection) + timedelta(seconds=wait_seconds))

    def receivers(self) -> list[Receiver]:
        """The enabled endpoints."""
        with self.database.glancing() as connection:
            return deliveries.receivers(connection, self.database)

    def receivers_in_use(self, used: Collection[str]) -> list[Receiver]:
        """The same where they are few; of many those that have something to be sent, and those among ``used``."""
        with self.database.glancing() as connection:
            return deliveries.receivers_in_use(connection, self.database, used)

    def claim_parcels(self, endpoint: str, limit: int, lease_seconds: float) -> list[Parcel]:
        """Lease due webhooks of an endpoint, with what is to be sent."""

        def take(connection: Connection, lost: Lost) -> list[Parcel]:
            claims = agenda.claim(connection, self.database, Stage.DELIVER, endpoint, limit, lease_seconds, lost)
            return deliveries.load(connection, claims) if claims else []

        return self._lease(take)

    def settle(self, tries: Sequence[Try]) -> None:
        """Write down what came of tries and point each pair at its next delivery."""
        with self.database.transaction() as connection:
            endpoints = deliveries.settle(connection, self.database, tries)
        self.ring({(Stage.DELIVER, endpoint) for endpoint in endpoints})

    def settle_free(self, tries: Sequence[Try]) -> list[Try]:
        """The same, but for those whose rows somebody else keeps locked: they are left, and to be brought again."""

        def settle(locks: Locks) -> tuple[set[str], list[Try]]:
            with self.database.transaction() as connection:
                return deliveries.settle(connection, self.database, tries, locks), []

        def settle_free() -> tuple[set[str], list[Try]]:
            with self.database.transaction() as connection:
                free = deliveries.free_tries(connection, tries)
                endpoints = deliveries.settle(connection, self.database, free)
            taken = {id(one) for one in free}
            return endpoints, [one for one in tries if id(one) not in taken]

        left: list[Try]
        endpoints, left = self._at_once(settle, settle_free)
        self.ring({(Stage.DELIVER, endpoint) for endpoint in endpoints})
        return left

    # ------------------------------------------------------------ time and bells

    def timekeeper(self, clock: Clock | None = None) -> Timekeeper:
        """Who looks at the database's clock for this process, and beside it at the host's, ``clock``."""
        seconds = max((policy.timeout_seconds for policy in self._policies.values()), default=0.0)
        lease = max(LEASE_TIME_OUTS * seconds + LEASE_REST_SECONDS, LONG_LEASE_SECONDS)
        return Timekeeper(self.database, lease, clock)

    def now(self) -> datetime:
        """The database's time."""
        with self.database.glancing() as connection:
            return self.database.now(connection)

    def ring(self, lanes: set[Lane]) -> None:
        """Say that these lanes have work."""
        for stage, name in sorted({(stage, _doorbell(stage, name)) for stage, name in lanes}):
            self._bell((stage, name))


def _doorbell(stage: Stage, lane: str) -> str:
    """The lane whose runner takes up what this lane of the agenda has."""
    return doorbell_of(lane) if stage is Stage.CHECK else lane
