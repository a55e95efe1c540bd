"""Planted bugs. Each is a mistake that somebody could make in one place; the simulation has to find it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

from sqlalchemy import func, select, update

from domain.decision import Decision, Stage
from domain.evidence import Created, InDoubt
from domain.lifecycle import creates, judges
from domain.status import Status
from domain.timekeeping import Verdict
from tests.simulation.database import HostDatabase
from tests.simulation.engines import Scripts
from workers.bootstrap import Runtime
from workers.queue import tasks
from workers.stages.provider import ProviderStages
from workers.store import agenda, deliveries, fence, intake, outbox, positions, timekeeper
from workers.store.agenda import PUBLISH_LANE, Claim
from workers.store.bulk import key_rows
from workers.store.judging import transaction
from workers.store.judging.work import Work
from workers.store.publishing import Publishing
from workers.store.store import Store
from workers.store.tables import AGENDA, DELIVERY, EVENT

#: Its package has a function of the same name.
publish = import_module("workers.stages.publish")

Patch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A planted bug. ``promise``: words of a finding that it must lead to, in histories of this profile."""

    name: str
    plant: Patch
    profile: str
    promise: str


MUTATIONS: list[Mutation] = []


def planted(profile: str, promise: str) -> Callable[[Patch], Patch]:
    """Adds a bug to the list, named after its function."""

    def add(plant: Patch) -> Patch:
        MUTATIONS.append(Mutation(plant.__name__.replace("_", " "), plant, profile, promise))
        return plant

    return add


# ---------------------------------------------------------------- leases and fences


@planted("long freezes", "freed by somebody else")
def evidence_of_a_lost_lease_completes_the_row() -> Any:
    return patch.object(Work, "holds", lambda work, key: key in work.rows and key in work.held)


@planted("long freezes", "freed by somebody else")
def a_lost_lease_finishes_the_row() -> Any:
    def finish(connection: Any, held: Any, due_at: Any) -> None:
        row = AGENDA.c.stage == held.stage.value, AGENDA.c.subject == held.subject
        connection.execute(update(AGENDA).where(*row).values(due_at=due_at, lease_token=None, claims=0))

    return patch.object(agenda, "finish", finish)


@planted("long freezes", "somebody else")
def a_lost_lease_settles_the_pair() -> Any:
    def settle(connection: Any, database: Any, tries: Sequence[Any], *_: Any) -> set[str]:
        rows = deliveries.lock_pairs(connection, database, {one.delivery.claim.subject for one in tries})
        now = database.now(connection)
        deliveries._write_attempts(connection, sorted(tries, key=lambda one: one.delivery.claim.subject), now)
        return deliveries.point_at_next(connection, rows, now)

    return patch.object(deliveries, "settle", settle)


@planted("long freezes", "lease was taken over")
def the_publisher_has_no_fence() -> Any:
    return patch.object(Scripts, "refuses", lambda *_: False)


@planted("quiet", "nothing went wrong")
def the_lease_is_shorter_than_the_call_may_take() -> Any:
    return patch.object(ProviderStages, "_lease", lambda *_: 0.1)


@planted("deaths", "creates, with")
def nobody_minds_that_an_earlier_holder_was_lost() -> Any:
    claim = agenda._claim

    def careless(*arguments: Any) -> Any:
        return [(held._replace(lost=False), row) for held, row in claim(*arguments)]

    return patch.object(agenda, "_claim", careless)


# ---------------------------------------------------------------- clocks that are set


@planted("clock steps", "taken while it was held")
def a_lease_is_over_when_the_clock_says_so() -> Any:
    return patch.object(agenda, "is_trusted", lambda *_: True)


@planted("clock steps", "told soon|stuck")
def nobody_notices_that_the_clock_was_set_back() -> Any:
    return _both(
        patch.object(timekeeper, "assess_clock", lambda *_: Verdict("steady")),
        patch.object(agenda, "STANDING_WAITS", {}),
    )


@planted("clock steps", "told soon|stuck")
def a_fence_that_is_ahead_is_believed() -> Any:
    def by_the_clock(kept: Any, at: Any) -> int:
        del kept
        return int(at.timestamp() * 1_000_000)

    return _both(
        patch.object(fence, "next_fence", by_the_clock), patch.object(Publishing, "lift_fence", lambda *_: None)
    )


# ---------------------------------------------------------------- what belongs together


@planted("deaths", "no order lost")
def the_message_is_acknowledged_before_the_commit() -> Any:
    return patch.object(tasks.create, "acks_late", False)


@planted("deaths", "told")
def the_event_is_written_in_a_second_transaction() -> Any:
    later: list[Any] = []
    judge = Store.judge_and_take

    def judge_then_tell(self: Any, judgements: Any, room: Any) -> Any:
        later.clear()
        outcomes, _, left = judge(self, judgements, room)
        events, later[:] = list(later), []
        if events:
            with self.database.transaction() as connection:
                outbox.add_events(connection, events, self.database.now(connection))
            self.ring({(Stage.PUBLISH, PUBLISH_LANE)})
        return outcomes, [], left

    def put_off(connection: Any, events: Any, now: Any, room: Any, **_: Any) -> Any:
        later.extend(events)
        return set(), []

    return _both(
        patch.object(transaction, "add_events", put_off), patch.object(Store, "judge_and_take", judge_then_tell)
    )


@planted("deaths", "not in the stream")
def events_are_marked_before_the_stream_has_them() -> Any:
    async def publish_all(store: Any, stream: Any, claim: Any) -> None:
        fence = int(claim.claimed_at.timestamp() * 1_000_000)
        while events := await asyncio.to_thread(store.publishing.unpublished, 500):
            await asyncio.to_thread(store.publishing.mark_published, [event.number for event in events])
            await stream.append([(event.id, event.body) for event in events], fence)

    return patch.object(publish, "_publish_all", publish_all)


@planted("deaths", "its position was given after the stream was told")
def the_stream_is_told_before_positions_are_given() -> Any:
    async def publish_all(store: Any, stream: Any, claim: Any) -> None:
        while events := await asyncio.to_thread(store.publishing.unpublished, 500):
            await stream.append([(event.id, event.body) for event in events], claim.fence)
            await asyncio.to_thread(store.publishing.place_events, claim, 500)
            await asyncio.to_thread(store.publishing.mark_published, [event.number for event in events])

    return patch.object(publish, "_publish_all", publish_all)


@planted("deaths", "the log without a gap: inv_")
def the_newest_events_get_their_positions_first() -> Any:
    found = positions._unplaced

    def newest_first(dialect: str) -> Any:
        return found(dialect).order_by(None).order_by(EVENT.c.number.desc())

    return patch.object(positions, "_unplaced", newest_first)


@planted("quiet", "prompt")
def the_bell_is_cleared_after_the_claim() -> Any:
    def wake(self: Any, stage: str, lane: str) -> None:
        self.pump.wake((Stage(stage), lane))
        self.doorbell.loop.call_later(0.15, self.doorbell.clear, stage, lane)

    return patch.object(Runtime, "wake", wake)


# ---------------------------------------------------------------- what is decided


@planted("network", "creates, with")
def doubt_is_taken_for_a_plain_failure() -> Any:
    return patch.dict(judges._JUDGES, {InDoubt: creates.again_later})


@planted("storm", "no late word|every change")
def a_late_answer_opens_a_closed_invoice() -> Any:
    created = creates.created

    def reopen(case: Any, evidence: Any) -> Decision:
        if case.status is not Status.CANCELLED:
            return created(case, evidence)
        return Decision("applied", {"status": "pending", "provider_ref": evidence.provider_ref})

    return patch.dict(judges._JUDGES, {Created: reopen})


@planted("storm", "expired at")
def expiry_is_judged_by_the_clock_of_the_host() -> Any:
    return patch.object(HostDatabase, "now", lambda self, _: self._host.host_now())


@planted("quiet", "was opened while")
def an_open_order_does_not_keep_out_its_next() -> Any:
    row = intake._row
    return patch.object(intake, "_row", lambda *arguments: row(*arguments) | {"first_open": 0})


# ---------------------------------------------------------------- order


@planted("network", "webhooks in order")
def a_commit_takes_an_event_that_has_older_ones_before_it() -> Any:
    poke_pairs = outbox.poke_pairs

    def take_all(connection: Any, pairs: Any, now: Any, room: Any = None) -> Any:
        taken = poke_pairs(connection, pairs, now, room)
        return {
            pair: taken.get(pair) or Claim(Stage.DELIVER, pair[0], "/".join(pair), "t", False, now) for pair in pairs
        }

    return patch.object(outbox, "poke_pairs", take_all)


@planted("network", "webhooks in order")
def the_newest_event_is_delivered_first() -> Any:
    def newest(dialect: str, *columns: Any) -> Any:
        pair = key_rows(dialect, ("endpoint_id", "invoice_id"))
        waiting = DELIVERY.alias("waiting")
        latest = (
            select(func.max(waiting.c.sequence))
            .where(waiting.c.endpoint_id == pair.c.endpoint_id, waiting.c.invoice_id == pair.c.invoice_id)
            .where(waiting.c.state == "due")
            .scalar_subquery()
        )
        of_pair = (DELIVERY.c.endpoint_id == pair.c.endpoint_id) & (DELIVERY.c.invoice_id == pair.c.invoice_id)
        return select(*columns).select_from(
            pair.join(DELIVERY, of_pair & (DELIVERY.c.state == "due") & (DELIVERY.c.sequence == latest))
        )

    return _uncached(patch.object(deliveries, "_oldest", newest))


@contextmanager
def _both(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    with patches[0], patches[1]:
        yield


@contextmanager
def _uncached(patched: AbstractContextManager[Any]) -> Iterator[None]:
    """Statements are made once; a changed one has to be made anew, and so has the right one afterwards."""
    cached = (deliveries._claimed, deliveries._next_tries)
    with patched:
        for statement in cached:
            statement.cache_clear()
        yield
    for statement in cached:
        statement.cache_clear()
