"""CREATE and CHECK: the calls to providers. Their answers are evidence; the store judges."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import structlog

from domain.account import Account
from domain.asking import Asked, asks_by
from domain.decision import InvoiceView, Stage
from domain.evidence import (
    ClockRanOut,
    Created,
    CredentialsRefused,
    Evidence,
    Found,
    InDoubt,
    NotFound,
    NotSent,
    RateLimited,
    SearchFailed,
)
from domain.exact_json import read_json
from domain.lifecycle import is_to_be_sought
from domain.looks import account_of
from domain.ports import CreateRequest, ListReader, Provider
from domain.provider_clock import settle_times
from domain.status import Status
from domain.tracing import OFF, Tracer
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.engine import (
    Admission,
    Batching,
    Feeding,
    Keeping,
    Observer,
    Pace,
    ProviderCall,
    Slots,
    SlotUse,
    Work,
)
from workers.providers.call import counting_calls
from workers.stages.answers import answer_about
from workers.stages.drift import DriftWatch
from workers.stages.judging import judge, judge_and_take
from workers.stages.last_answers import LastAnswers
from workers.stages.look_ups import Turn, Turns
from workers.stages.search import as_search, search
from workers.stages.told import TIMED_OUT, outcome_of, outcome_of_all
from workers.store.agenda import Claim, lease_clock
from workers.store.judging import Judgement
from workers.store.kept import KeptAnswer
from workers.store.rows import StoredRow
from workers.store.store import Store

log = structlog.get_logger()

#: A lease lasts this much longer than its work may take: time to commit.
LEASE_MARGIN_SECONDS = 10.0
COMMIT_MARGIN_SECONDS = LEASE_MARGIN_SECONDS / 2  #: the part of it that is left for a create's commit
LOOK_UP_PATIENCE = 3  #: a look-up may take this many time-outs: it may read several pages
CREATES_CLAIMED = 200  #: in one claim at most; it costs nearly as much for a few
RATE_WAIT_SECONDS = 0.05  #: the shared rate is asked no sooner, so that one claim fetches several calls

Take = Callable[[str, int], Awaitable[tuple[int, float]]]  #: how many of n now, and the seconds until there is one more
#: A claimed create with its invoice, and the answer that was kept of an earlier call.
ToCreate = tuple[Claim, StoredRow | None, KeptAnswer | None]
Row = TypeVar("Row", bound=tuple[Claim, InvoiceView | None, object])


class ProviderStages:
    """CREATE and CHECK of every account. They share the account's slots, its rate, and what its last answers said."""

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, Account],
        providers: Mapping[str, Provider],
        rate: RateLimit,
        budget: LookUpBudget | None = None,
        observer: Observer | None = None,
        tracer: Tracer = OFF,
        drift: DriftWatch | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._rate = rate
        self._tracer = tracer
        self._drift = drift or DriftWatch({}, {})
        self._turns = Turns(store, accounts, providers, rate, budget)
        self._said = {name: LastAnswers(name) for name in accounts}
        self._slots = {name: Slots(account.max_in_flight) for name, account in accounts.items()}

    def rests(self) -> Mapping[str, float]:
        """The accounts that are not called because their provider has said 429, and for how many seconds more. For any
        thread."""
        waits = {name: said.pause_seconds for name, said in self._said.items()}
        return {name: seconds for name, seconds in waits.items() if seconds > 0}

    def works(self) -> list[Work[Any, Judgement]]:
        """The two stages as values."""
        askable = [name for name, account in self._accounts.items() if self._providers[account.provider].can_be_asked]
        create = self._work(
            Stage.CREATE,
            list(self._accounts),
            lambda lane, limit: self._store.claim_creates(lane, limit, self._lease(lane, 1)),
            self._create,
            take=self._rate.take,
            refund=self._rate.give_back,
        )
        check = self._work(
            Stage.CHECK,
            self._turns.lanes(askable),
            lambda lane, limit: self._turns.claim(lane, limit, self._lease(account_of(lane), LOOK_UP_PATIENCE)),
            self._look_up,
            take=self._turns.admit,
            refund=self._turns.refund,
        )
        hasty = Pace(flows=True, rest_seconds=0.01)  # no other step keeps an order waiting as long as this one
        # Whatever is claimed begins at once, so a large claim leaves no more in doubt than two small ones.
        return [
            dataclasses.replace(create, repeatable=False, pace=hasty, batching=Batching(claim=CREATES_CLAIMED)),
            dataclasses.replace(check, batching=Batching(group=100)),
        ]

    def _work(
        self,
        stage: Stage,
        lanes: Sequence[str],
        claim: Callable[[str, int], Sequence[Row]],
        perform: Callable[[str, Sequence[Row]], Awaitable[Sequence[Judgement]]],
        *,
        take: Take,
        refund: Callable[[str, int], Awaitable[None]],
    ) -> Work[Row, Judgement]:
        return Work(
            stage=stage,
            lanes=lambda: lanes,
            slots=lambda lane: self._slots[account_of(lane)],
            claim=claim,
            claim_of=lambda row: row[0],
            commit=lambda judgements: judge(self._store, judgements, self._observer),
            perform=perform,
            name_of=_name,
            # A backlog of orders must not blind us to payments, nor a backlog of look-ups keep orders waiting.
            slot_use=SlotUse(spare=1),
            admission=Admission(lambda lane, asked: self._admit(lane, asked, take), refund, is_shared=True),
            keeping=Keeping(self._store.keep, self._store.forget),
            feeding=Feeding(
                Stage.DELIVER,
                lambda results, reserved: judge_and_take(self._store, results, reserved, self._observer),
            ),
        )

    def _lease(self, lane: str, calls: int) -> float:
        """Seconds. ``calls``: the work on one claim may take this many time-outs."""
        return self._accounts[lane].timeout_seconds * calls + LEASE_MARGIN_SECONDS

    async def _admit(self, lane: str, asked: int, take: Take) -> tuple[int, float]:
        wait = self._said[account_of(lane)].pause_seconds
        if wait > 0:
            return 0, min(wait, 1.0)
        granted, wait = await take(lane, asked)
        return granted, max(wait, RATE_WAIT_SECONDS)

    async def _create(self, lane: str, items: Sequence[ToCreate]) -> Sequence[Judgement]:
        (claim, invoice, kept), account = items[0], self._accounts[lane]
        structlog.contextvars.bind_contextvars(  # never unbound: this task is the item's own, and so is its context
            stage="create", account=lane, invoice_id=claim.subject, order_id=getattr(invoice, "order_id", None)
        )
        if kept is not None:
            # The answer to a call whose commit was held up, or whose worker was lost before the commit: as good as new.
            log.info("create.answer_found", kind=type(kept.evidence).__name__)
            return [Judgement(claim.subject, kept.evidence, claim, kept.token, _trace_of(invoice))]
        evidence = self._drift.look(lane, await self._evidence_of_create(claim, invoice, account))
        if evidence.asked_at is not None and not isinstance(evidence, NotFound):
            # Without ``asked_at``: what a late create says of another call's invoice is no look-up of its payment.
            evidence = dataclasses.replace(evidence, asked_at=None)
        return [Judgement(claim.subject, evidence, claim, trace=_trace_of(invoice))]

    async def _evidence_of_create(self, claim: Claim, invoice: StoredRow | None, account: Account) -> Evidence:
        if invoice is None or invoice.status not in {Status.QUEUED, Status.IN_DOUBT}:
            return ClockRanOut()  # nothing is left to be made: this completes the row and changes nothing
        provider = self._providers[account.provider]
        sought = provider.can_search(account) and is_to_be_sought(invoice)
        if not sought and (ended := _ends_without_a_call(claim, invoice)) is not None:
            return ended
        refusal = self._said[account.name].refusal
        if refusal is not None:
            return dataclasses.replace(refusal, raw=None)
        if lease_clock() + account.timeout_seconds + COMMIT_MARGIN_SECONDS > claim.over_at:
            # Before the answer is kept, another worker might count this call as lost and call again.
            return NotSent(
                reason="this worker was held up until its lease was nearly over; nothing was sent",
                after_lost=claim.lost,
            )
        answer: Awaitable[Evidence]
        if sought:
            answer = search(provider, claim, _request(invoice), invoice.created_at, account, self._next_call)
        else:
            answer = provider.create(_request(invoice), account)
        evidence = await self._observed(account, "search" if sought else "create", invoice, answer)
        if not isinstance(evidence, SearchFailed):
            self._said[account.name].learn(evidence, invoice.id)
        if isinstance(evidence, Created):
            # A repeat may be answered with what an earlier call made, at any time since the order came.
            asked_at = claim.claimed_at if invoice.doubts == 0 and not sought else invoice.created_at
            evidence = self._with_times(evidence, claim, account.name, asked_at)
        return as_search(evidence) if sought else evidence

    async def _observed(
        self, account: Account, call: Literal["create", "search"], invoice: StoredRow, answer: Awaitable[Evidence]
    ) -> Evidence:
        """The answer, with a span around the call and a word of it to the observer."""
        about = {"account": account.name, "provider": account.provider, "invoice_id": invoice.id}
        span = self._tracer.begin(f"provider.{call}", _trace_of(invoice), about, kind="client")
        began = time.monotonic()
        evidence = await answer
        outcome = outcome_of(evidence)
        self._observer.called(ProviderCall(account.name, call, outcome, time.monotonic() - began))
        span.end({"outcome": outcome})
        return evidence

    def _with_times(self, made: Created, claim: Claim, account: str, asked_at: datetime) -> Created:
        """The answer, and the next best ones of a search, with their times settled by our clock."""
        passed = max(lease_clock() - (claim.over_at - self._lease(account, 1)), 0.0)
        answered_at = claim.claimed_at + timedelta(seconds=passed)
        made = settle_times(made, asked_at, answered_at)
        if isinstance(made, Found):
            instead = tuple(settle_times(one, asked_at, answered_at) for one in made.instead)
            made = dataclasses.replace(made, instead=instead)
        self._said[account].tell_clock(made.clock_off_seconds)
        return made

    async def _next_call(self, account: str) -> None:
        """Wait until the account's limits allow one more call."""
        while True:
            granted, wait_seconds = await self._admit(account, 1, self._rate.take)
            if granted:
                return
            await asyncio.sleep(wait_seconds)

    async def _look_up(self, lane: str, items: Sequence[Turn]) -> Sequence[Judgement]:
        account, turns = self._accounts[account_of(lane)], [Turn(*item) for item in items]
        asks = self._asks_by(account.name)
        refs = {turn.claim.subject: asks(turn.invoice) if turn.invoice is not None else () for turn in turns}
        wanted = [ref for some in refs.values() for ref in some]
        began = time.monotonic()
        with counting_calls() as count:
            answers = await self._ask(account, wanted, self._turns.most_calls(turns, len(wanted))) if wanted else {}
        seconds, found, timed_out = time.monotonic() - began, answers or {}, answers is None
        for evidence in found.values():
            if isinstance(evidence, (CredentialsRefused, RateLimited)):
                self._said[account.name].learn(evidence)
        left = [] if timed_out else self._turns.left(account.name, turns, refs, found)
        made = count.made or (self._turns.calls_of(turns) if wanted else 0)
        if wanted:
            outcome = TIMED_OUT if timed_out else outcome_of_all(found.values())
            self._observer.called(ProviderCall(account.name, "look_up", outcome, seconds, made))
        await self._turns.settle(lane, turns, made, len(left))
        await self._turns.put_back([turn.claim for turn in left])
        unasked = {turn.claim.subject for turn in left}
        return [
            Judgement(claim.subject, self._drift.look(account.name, said), claim, trace=_trace_of(invoice))
            for claim, invoice, _ in turns
            if claim.subject not in unasked
            for said in (answer_about(found, claim, invoice, refs[claim.subject]),)
        ]

    async def _ask(self, account: Account, refs: Sequence[str], calls: int) -> Mapping[str, Evidence] | None:
        """Answers by reference; None if none came in time. ``calls``: at most this many; 0: as many as it takes."""
        provider = self._providers[account.provider]
        try:
            async with asyncio.timeout(account.timeout_seconds * LOOK_UP_PATIENCE):
                if calls and isinstance(provider, ListReader):
                    return await provider.look_up_within(calls, refs, account)
                return await provider.look_up(refs, account)
        except TimeoutError:
            log.warning("provider.look_up_timed_out", account=account.name, invoices=len(refs))
            return None

    def _asks_by(self, lane: str) -> Callable[[Asked], Sequence[str]]:
        """The references that an invoice of this account is asked by."""
        provider = self._providers[self._accounts[lane].provider]
        return lambda invoice: asks_by(invoice, provider)


def _ends_without_a_call(claim: Claim, invoice: StoredRow) -> Evidence | None:
    """The evidence of a create that should not be called any more; None: it may be called."""
    if claim.lost:
        # A second call might bill twice: the policy decides what the lost one means.
        return InDoubt(reason="the worker that made the call was lost before it could keep the answer")
    if invoice.create_before is not None and invoice.create_before <= claim.claimed_at:
        return ClockRanOut() if invoice.status == Status.QUEUED else InDoubt(reason="create_before has passed")
    return None


def _trace_of(invoice: InvoiceView | None) -> str | None:
    return getattr(invoice, "trace", None)


def _name(judgement: Judgement) -> Mapping[str, object]:
    """For the log: so an operator finds at the provider what the database did not take."""
    evidence = judgement.evidence
    ref = getattr(evidence, "provider_ref", None)
    return {"invoice_id": judgement.invoice_id, "evidence": type(evidence).__name__, "provider_ref": ref}


def _request(invoice: StoredRow) -> CreateRequest:
    return CreateRequest(
        invoice_id=invoice.id,
        order_id=invoice.order_id,
        price=invoice.price,
        currency=invoice.currency,
        pay_currency=invoice.pay_currency,
        network=invoice.network,
        params=read_json(invoice.params),
    )
