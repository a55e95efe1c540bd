"""Whatever sources say, in whatever order and however late: no illegal move, no gap, no invoice forgotten."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import evidence as said
from domain.against import CONTRADICTION
from domain.decision import Decision, Stage
from domain.evidence import ClockRanOut, Created, Evidence, InDoubt, Seen
from domain.lifecycle import LAST_LOOKS, REFUSED_REASONS
from domain.lifecycle.clock import LONGEST_UNHEARD
from domain.marks import MARKS
from domain.money import MAX_DECIMALS, format_amount
from domain.schedule import monitor_poll_seconds, slowest_poll
from domain.status import FINAL, OPEN, SILENT, TRANSITIONS, WATCHED, Anomaly, Status
from tests.examples import examples
from tests.invoice_world import START, Row, World, new_invoice, new_policy

AMOUNTS = ("price", "pay_amount", "paid_amount")
YEARS_900 = 28_000_000_000.0

amounts = st.decimals(min_value="1e-18", max_value="1e18", places=18) | st.sampled_from(
    [Decimal("0.0358619204"), Decimal("89.970"), Decimal(100), Decimal("0E-10")]
)
lifetimes = st.sampled_from([Decimal("0.05"), Decimal(1), Decimal("90.0")])
jitters = st.floats(0, 1)
statuses = st.sampled_from(list(Status))
spans = st.sampled_from([0.0, 0.001, 1.0, 9.0, 30.0, 600.0, 3600.0, 90_000.0]) | st.floats(0, 100_000)
policies = st.builds(
    new_policy,
    lifetime_minutes=lifetimes,
    timeout_seconds=st.sampled_from([0.5, 10.0, 120.0]),
    on_doubt=st.sampled_from(["retry", "hold"]),
    poll_seconds=st.sampled_from([30.0, 86_400.0]),
    hold_refused_minutes=st.sampled_from([Decimal(0), Decimal(10)]),
    monitor_minutes=st.sampled_from([Decimal(0), Decimal(5), Decimal(1440)]),
    can_be_asked=st.booleans(),
    searchable=st.booleans(),
    late_payment=st.sampled_from(["settle", "hold"]),
    refund_watch_days=st.sampled_from([Decimal(0), Decimal("0.125"), Decimal(30)]),
)
waits = st.none() | st.sampled_from([-1.0, 0.0, 2.5, 1e9, float("inf"), float("nan")])


@st.composite
def created(draw: st.DrawFn) -> Created:
    """From an answer that says nothing but its id to one whose times are absurd."""
    expiry = draw(st.none() | st.sampled_from([-3600.0, 0.0, 1.0, 5400.0, YEARS_900]))
    return Created(
        provider_ref=draw(st.sampled_from(["110816020", "twin"])),
        price=draw(st.none() | amounts),
        pay_amount=draw(st.none() | amounts),
        pay_currency=draw(st.none() | st.just("ETH")),
        address=draw(st.none() | st.just("0x7717")),
        lifetime_minutes=draw(st.none() | lifetimes | st.sampled_from([Decimal(0), Decimal(-5), Decimal("9e20")])),
        expires_at=None if expiry is None else START + timedelta(seconds=expiry),
    )


refusals = st.sampled_from(
    [said.OrderRefused, said.CredentialsRefused, said.ProviderRefused, said.Unreachable, said.NotSent, said.InDoubt]
).map(lambda kind: kind(reason="no"))
limited = st.builds(said.RateLimited, reason=st.just("slow down"), retry_after_seconds=waits)
seen = st.builds(
    Seen,
    status=st.none() | statuses,
    word=st.just("Word"),
    paid_amount=st.none() | amounts,
    anomaly=st.none() | st.sampled_from(list(Anomaly)),
)
unreadable = st.just(said.Unreadable(reason="HTML"))
wishes = st.sampled_from([said.CancelRequested(reason="gone"), said.RetryRequested(reason="redrive")])
marks = st.builds(
    said.Marked,
    status=st.sampled_from(MARKS),
    reason=st.just("known"),
    by=st.just("bob"),
    paid_amount=st.none() | amounts,
)
clock = st.builds(ClockRanOut, in_call=st.booleans())

searches = st.one_of(
    st.builds(said.Found, provider_ref=st.sampled_from(["110816020", "twin"]), twins=st.none() | st.just('["third"]')),
    st.builds(said.NotFound, after_lost=st.booleans()),
    st.builds(said.SearchFailed, reason=st.just("no list"), retry_after_seconds=waits),
)

#: What may come under a lease of each stage, and without one: callbacks, wishes, answers of leases that were lost.
BROUGHT: dict[Stage | None, st.SearchStrategy[Evidence]] = {
    Stage.CREATE: created() | refusals | limited | searches,
    Stage.CHECK: seen | unreadable | limited | refusals.filter(lambda e: not isinstance(e, said.OrderRefused)),
    Stage.CLOCK: clock,
    None: created() | refusals | limited | searches | seen | unreadable | wishes | marks,
}


@st.composite
def steps(draw: st.DrawFn) -> tuple[float, Stage | None, Evidence, float]:
    """(seconds that pass, held stage, evidence, jitter). A host's clock (SQLite's time) may be set back a little."""
    moved = draw(spans | st.sampled_from([-2.0, -0.001]))
    held = draw(st.sampled_from([Stage.CREATE, Stage.CHECK, Stage.CLOCK, Stage.CLOCK, Stage.CHECK, None]))
    return moved, held, draw(BROUGHT[held]), draw(jitters)


@settings(max_examples=examples(400))
@given(policies, st.none() | spans, st.lists(st.tuples(steps(), st.none() | spans), max_size=15))
def test_no_history_breaks_the_rules(policy, create_before, history):
    limit = None if create_before is None else START + timedelta(seconds=create_before)
    world = World(new_invoice(create_before=limit), policy)
    latest = START  # a clock that is set back does not take back what was planned before
    for (moved, stage, evidence, jitter), asked in history:
        held = stage if stage in world.agenda else None  # without its row: a late answer of a lost lease
        if held is None and isinstance(evidence, ClockRanOut):
            continue
        world.pass_time(moved)
        heard = asked_at(evidence, world, asked)
        before = vars(world.invoice).copy()
        decision = world.take(heard, held, jitter)
        check_move(before, decision, world)
        check_clock(before, heard, decision, world)
        check_amounts(before, heard, decision, world)
        latest = max(latest, world.now)
        check_something_is_left_to_do(world, latest)


@settings(max_examples=examples(300))
@given(policies, st.lists(seen | st.just(ClockRanOut()), max_size=8), st.data())
def test_what_a_mark_has_settled_of_an_expired_one_is_told_anew_only_if_something_else_is_said(policy, history, data):
    """Whoever says it again is not heard, whatever was said before; more money is."""
    world = World(new_invoice(price=Decimal(10), currency="EUR"), policy)
    world.take(Created(provider_ref="77"), held=Stage.CREATE)
    world.take(Seen(status=Status.EXPIRED, word="Expired"), held=Stage.CHECK if policy.can_be_asked else None)
    said = [one for one in history if world.take(one).verdict == "contradiction"]
    if world.invoice.status != Status.EXPIRED:
        return
    before, told = {**vars(world.invoice)}, len(world.told)
    mark = said_by_bob(Status.EXPIRED)
    assert world.take(mark).verdict == "noted"
    assert {name for name, value in vars(world.invoice).items() if value != before[name]} <= {"contradicted"}
    if said and said[-1] == next((one for one in history[::-1] if isinstance(one, Seen)), None):
        assert world.take(said[-1]).verdict != "contradiction"
        assert len(world.told) == told
    more = Seen(status=Status.PAID, word="Word", paid_amount=Decimal(10) ** 19 + data.draw(st.integers(0, 9)))
    assert world.take(more).event in {CONTRADICTION, "invoice.paid"}


def said_by_bob(status: Status) -> said.Marked:
    return said.Marked(status=status, reason="known", by="bob")


def asked_at(evidence: Evidence, world: World, asked: float | None) -> Evidence:
    return dataclasses.replace(evidence, asked_at=None if asked is None else world.now - timedelta(seconds=asked))


def check_move(before: dict[str, Any], decision: Decision, world: World) -> None:
    """Only moves of the table; one event for each change that is told, its sequence one higher."""
    old, new = Status(before["status"]), Status(world.invoice.status)
    if decision.verdict == "applied":
        assert new in TRANSITIONS[old]
        assert (decision.event is None) == (new in SILENT)
        assert decision.event in {None, f"invoice.{new}"}
        assert world.invoice.updated_at == world.now
    else:
        assert new is old
        assert decision.event in {None, CONTRADICTION}
        assert decision.event is None or decision.verdict == "contradiction"
        waits_for = {None, *REFUSED_REASONS.values()} if new is Status.QUEUED else {before["reason"]}
        assert world.invoice.reason in waits_for
    told = [sequence for *_, sequence in world.told if sequence > before["sequence"]]
    assert told == list(range(before["sequence"] + 1, world.invoice.sequence + 1))
    owed = len((before["contradicted"] or "").split())  # told with the first event that anybody sees
    assert bool(told) == (decision.event is not None)
    assert len(told) <= 1 + owed
    if old in FINAL:
        assert new is old or (old, new) == (Status.PAID, Status.REFUNDED)
        if new is old:
            assert set(decision.changes) in (set(), {"sequence", "contradicted"})
    assert world.invoice.first_open == int(bool(before["first_open"]) and new in OPEN)


def check_clock(before: dict[str, Any], evidence: Evidence, decision: Decision, world: World) -> None:
    """Nothing expires early but by the provider's word; a payment that confirms has until its monitoring ends."""
    if decision.event != "invoice.expired" or (isinstance(evidence, Seen) and evidence.status is Status.EXPIRED):
        return
    assert before["expires_at"] <= world.now
    if before["status"] == Status.CONFIRMING:
        assert before["monitor_until"] <= world.now
        assert isinstance(evidence, ClockRanOut) or before["monitor_until"] <= evidence.asked_at  # its last look


def check_amounts(before: dict[str, Any], evidence: Evidence, decision: Decision, world: World) -> None:
    """An amount is the last one that came in, digit for digit, and nothing else touches it."""
    for name in AMOUNTS:
        value = getattr(world.invoice, name)
        if name in decision.changes:
            assert str(value) == str(getattr(evidence, name))
        else:
            assert value is before[name]


def check_something_is_left_to_do(world: World, latest: datetime) -> None:
    """An open invoice always has the row that brings it on; a closed one only what watches for a late payment."""
    invoice, agenda, status = world.invoice, world.agenda, Status(world.invoice.status)
    if status is Status.QUEUED:
        assert Stage.CREATE in agenda
        if invoice.create_before is not None:
            assert agenda[Stage.CLOCK].due_at <= max(invoice.create_before, latest + timedelta(seconds=1))
    if status in WATCHED:
        end = invoice.monitor_until if status is Status.CONFIRMING else invoice.expires_at
        looked = invoice.final_look_at or end
        patience = timedelta(seconds=world.policy.timeout_seconds * LAST_LOOKS.get(status, 1))
        assert agenda[Stage.CLOCK].due_at <= max(end, looked + patience)
        assert (Stage.CHECK in agenda) == world.policy.can_be_asked
        assert Stage.CREATE not in agenda
    if status is Status.EXPIRED and Stage.CLOCK in agenda:
        assert agenda[Stage.CLOCK].due_at <= invoice.monitor_until
    if status is Status.IN_DOUBT:
        assert set(agenda) <= {Stage.CREATE}
    if status in FINAL:
        watch = timedelta(days=float(world.policy.refund_watch_days))
        assert not agenda or (status is Status.PAID and world.policy.can_be_asked and watch)
        patience = timedelta(days=1)  # a provider may ask for it
        assert all(row.due_at <= max(invoice.updated_at + watch, latest) + patience for row in agenda.values())


# ---------------------------------------------------------------- nothing is stuck

create_answers = created() | refusals | limited
look_up_answers = (
    seen.filter(lambda e: e.status is None or e.status in WATCHED | {Status.PAID, Status.EXPIRED})
    | unreadable
    | limited
    | st.sampled_from([said.Unreachable(reason="dead"), said.CredentialsRefused(reason="HTTP 406")])
)


class Simulation:
    """Each due stage gets its evidence, on a clock that jumps to what is due next. Calls take time and overlap."""

    def __init__(self, world: World, create: list[Evidence], look_up: list[Evidence], draw: Callable[[], float]):
        self.world = world
        self.answers = {Stage.CREATE: [*create], Stage.CHECK: [*look_up]}  # used up on the way
        self.draw = draw
        self.arrivals: list[tuple[Any, int, Stage, Evidence]] = []
        self.count = itertools.count()

    def run(self, limit: int = 3000) -> int:
        """Until nobody has anything to do; the number of steps it took."""
        for step in range(limit):
            ready = [(row.due_at, stage) for stage, row in self.world.agenda.items() if not row.leased]
            if not ready and not self.arrivals:
                return step
            due_at, stage = min(ready, default=(None, None))
            if due_at is None or (self.arrivals and self.arrivals[0][0] < due_at):
                self._arrive()
            elif stage is not None:
                self.world.now = max(self.world.now, due_at)
                self._start(stage)
        raise AssertionError(f"still not at its end after {limit} steps: {vars(self.world.invoice)}")

    def _start(self, stage: Stage) -> None:
        world, invoice = self.world, self.world.invoice
        if stage is Stage.CLOCK:
            create = world.agenda.get(Stage.CREATE)
            world.take(ClockRanOut(in_call=create is not None and create.leased), stage, self.draw())
            return
        queue = self.answers[stage]
        evidence = queue.pop(0) if len(queue) > 1 else queue[0]  # the last one for ever after
        if stage is Stage.CREATE and invoice.create_before is not None and invoice.create_before <= world.now:
            late = InDoubt(reason="create_before has passed")
            evidence = ClockRanOut() if invoice.status == Status.QUEUED else late
        world.agenda[stage].leased = True
        arrives = world.now + timedelta(seconds=world.policy.timeout_seconds * self.draw())
        heapq.heappush(self.arrivals, (arrives, next(self.count), stage, asked_at(evidence, world, 0.0)))

    def _arrive(self) -> None:
        self.world.now, _, stage, evidence = heapq.heappop(self.arrivals)
        row = self.world.agenda.get(stage)
        self.world.take(evidence, stage if row is not None and row.leased else None, self.draw())


@settings(max_examples=examples(150))
@given(
    policies,
    st.sampled_from([0.0, 5.0, 3600.0]),
    st.lists(create_answers, min_size=1, max_size=8),
    st.lists(look_up_answers, min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_invoice_comes_to_its_end_in_bounded_time(policy, create_before, create, look_up, random):
    limit = START + timedelta(seconds=create_before)
    world = World(new_invoice(create_before=limit), policy)
    Simulation(world, create, look_up, random.random).run()

    status, call = Status(world.invoice.status), timedelta(seconds=policy.timeout_seconds)
    doubt = timedelta(seconds=4000) + 7 * call  # every try of on_doubt = retry
    assert status not in OPEN or status is Status.IN_DOUBT  # held for an operator: the one exception
    monitoring = timedelta(minutes=float(policy.monitor_minutes))
    if policy.can_be_asked:  # while no look-up is answered it goes on, and the last one has its time
        monitoring = max(monitoring, LONGEST_UNHEARD + slowest_poll(monitor_poll_seconds(policy.poll_seconds)))
    lapse = world.invoice.expires_at or world.now
    last_made = limit + doubt + timedelta(hours=25)  # a provider may ask for a day's patience (Retry-After)
    news = world.invoice.updated_at  # late news is watched as long as an expiry
    assert world.now <= max(lapse, last_made, news) + monitoring + 3 * call + timedelta(seconds=2)


@given(
    policies,
    st.sampled_from([1.0, 60.0, 5400.0]),
    st.lists(look_up_answers.filter(lambda e: not isinstance(e, Seen) or e.status is None), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_dead_provider_delays_an_expiry_by_no_more_than_one_time_out(policy, lifetime, look_up, random):
    expires_at = START + timedelta(seconds=lifetime)
    answer = Created(provider_ref="1", expires_at=expires_at)
    world = World(new_invoice(), policy)
    world.agenda[Stage.CREATE] = Row(START, leased=True)
    world.take(answer, Stage.CREATE)
    Simulation(world, [answer], look_up, random.random).run()

    told = {event: when for when, event, _ in world.told}
    patience = timedelta(seconds=policy.timeout_seconds if policy.can_be_asked else 0)
    assert expires_at <= told["invoice.expired"] <= expires_at + patience
    assert [sequence for *_, sequence in world.told] == [1, 2]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=MAX_DECIMALS, min_value=0, max_value=10**20))
def test_an_amount_goes_through_a_creation_digit_for_digit(amount):
    world = World(new_invoice(), new_policy())
    world.take(Created(provider_ref="1", pay_amount=amount), Stage.CREATE)
    assert format_amount(world.invoice.pay_amount) == format(amount, "f")
