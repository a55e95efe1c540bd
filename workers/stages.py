"""The stages, as values for the pump: CREATE, CHECK, CLOCK, PUBLISH, DELIVER. I/O brings evidence; the store judges."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from redis.exceptions import RedisError

from domain import schedule
from domain.account import Account
from domain.decision import Stage
from domain.evidence import (
    ClockRanOut,
    CredentialsRefused,
    Evidence,
    InDoubt,
    RateLimited,
    Said,
    Unreadable,
)
from domain.exact_json import read_json
from domain.ports import CreateRequest, Provider
from domain.status import Status
from workers.limits import RateLimit
from workers.outbound.attempt import Attempt, Outgoing
from workers.outbound.breaker import Breaker
from workers.outbound.secretbox import SecretBox
from workers.outbound.stream import EventStream, StaleFence
from workers.outbound.webhook import WebhookSender
from workers.pump import Slots, Work, first_line
from workers.store.agenda import CLOCK_LANE, PUBLISH_LANE, RETAIN_LANE, Claim
from workers.store.deliveries import Parcel, Receiver, Try
from workers.store.judging import Judgement, Outcome
from workers.store.store import Store

log = structlog.get_logger()

#: What a lease lasts beyond the longest that its work may take: time to commit.
LEASE_MARGIN_SECONDS = 10.0
LOOK_UP_PATIENCE = 3  #: a look-up may read several pages: so many time-outs long
REFUSED_SECONDS = 5.0  #: after refused credentials the account is not called for so long
WEBHOOK_SECONDS = 15.0
WARN_AT_TRY = 4  #: about three minutes after the first: no passing hiccup any more
RATE_WAIT_SECONDS = 0.05  #: until the shared rate is asked again
CLOCK_BATCH = 500
PUBLISH_BATCH = 500
PUBLISH_LEASE_SECONDS = 30.0
RETAIN_SECONDS = 600.0  #: between looks for what has become old
RETAIN_PAUSE_SECONDS = 0.5  #: between batches: everybody else's transactions come first

PROVIDER_EVENTS = {
    "OrderRefused": "provider.order_refused",
    "CredentialsRefused": "provider.credentials_refused",
    "InDoubt": "provider.in_doubt",
    "RateLimited": "provider.rate_limited",
    "Unreachable": "provider.unreachable",
}


class ProviderStages:
    """CREATE and CHECK of every account: they share the account's slots, its rate, and what its last answers said."""

    def __init__(
        self, store: Store, accounts: Mapping[str, Account], providers: Mapping[str, Provider], rate: RateLimit
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._rate = rate
        self._slots = {name: Slots(account.max_in_flight) for name, account in accounts.items()}
        self._refused: dict[str, tuple[float, str]] = {}  #: account -> (until, reason), host seconds
        self._paused: dict[str, float] = {}  #: rate-limited by the provider until

    def works(self) -> list[Work]:
        """The two stages as values."""
        askable = [name for name, account in self._accounts.items() if self._providers[account.provider].can_be_asked]
        create = Work(
            stage=Stage.CREATE,
            lanes=lambda: list(self._accounts),
            slots=self._slots.__getitem__,
            claim=lambda lane, limit: self._store.claim_invoices(Stage.CREATE, lane, limit, self._lease(lane, 1)),
            claim_of=lambda item: item[0],
            perform=self._create,
            commit=lambda judgements: judge(self._store, judgements),
            repeatable=False,
            reserve=1,  # for look-ups: a backlog of orders must not blind us to payments
            admit=self._admit,
            refund=self._rate.give_back,
        )
        check = Work(
            stage=Stage.CHECK,
            lanes=lambda: askable,
            slots=self._slots.__getitem__,
            claim=lambda lane, limit: self._store.claim_invoices(
                Stage.CHECK, lane, limit, self._lease(lane, LOOK_UP_PATIENCE)
            ),
            claim_of=lambda item: item[0],
            perform=self._look_up,
            commit=lambda judgements: judge(self._store, judgements),
            group=100,
            admit=self._admit,
            refund=self._rate.give_back,
        )
        return [create, check]

    def _lease(self, lane: str, calls: int) -> float:
        return self._accounts[lane].timeout_seconds * calls + LEASE_MARGIN_SECONDS

    async def _admit(self, lane: str, asked: int) -> tuple[int, float]:
        wait = self._paused.get(lane, 0.0) - time.monotonic()
        if wait > 0:
            return 0, min(wait, 1.0)
        return await self._rate.take(lane, asked), RATE_WAIT_SECONDS

    async def _create(self, lane: str, items: Sequence[tuple[Claim, Any]]) -> Sequence[Judgement]:
        (claim, invoice), account = items[0], self._accounts[lane]
        with structlog.contextvars.bound_contextvars(
            stage="create", account=lane, invoice_id=claim.subject, order_id=getattr(invoice, "order_id", None)
        ):
            evidence = await self._evidence_of_create(claim, invoice, account)
        return [Judgement(claim.subject, dataclasses.replace(evidence, asked_at=claim.claimed_at), claim)]

    async def _evidence_of_create(self, claim: Claim, invoice: Any, account: Account) -> Evidence:
        if invoice is None or invoice.status not in {Status.QUEUED, Status.IN_DOUBT}:
            return ClockRanOut()  # nothing to make any more: judged, it completes the row and changes nothing
        if claim.lost:
            # A second call would perhaps bill twice: what the lost one did is for the policy to judge.
            return InDoubt(reason="the worker that made the call was lost before it could keep the answer")
        if invoice.create_before is not None and invoice.create_before <= claim.claimed_at:
            if invoice.status == Status.QUEUED:
                return ClockRanOut()
            return InDoubt(reason="create_before has passed")
        until, reason = self._refused.get(account.name, (0.0, ""))
        if until > time.monotonic():
            return CredentialsRefused(reason=reason)
        evidence = await self._providers[account.provider].create(_request(invoice), account)
        self._learn(account.name, evidence)
        return evidence

    def _learn(self, account: str, evidence: Evidence) -> None:
        """One answer tells of the whole account: with a refused key not every order has to ask for itself."""
        if isinstance(evidence, CredentialsRefused):
            self._refused[account] = (time.monotonic() + REFUSED_SECONDS, evidence.reason)
        else:
            self._refused.pop(account, None)
        if isinstance(evidence, RateLimited):
            wait = min(evidence.retry_after_seconds or 1.0, schedule.RETRY_AFTER_LIMIT.total_seconds())
            self._paused[account] = max(self._paused.get(account, 0.0), time.monotonic() + wait)
        if isinstance(evidence, Said):
            event = PROVIDER_EVENTS.get(type(evidence).__name__, "provider.failed")
            log.warning(event, account=account, reason=evidence.reason)

    async def _look_up(self, lane: str, items: Sequence[tuple[Claim, Any]]) -> Sequence[Judgement]:
        account = self._accounts[lane]
        refs = [invoice.provider_ref for _, invoice in items if invoice is not None and invoice.provider_ref]
        found: Mapping[str, Evidence] = {}
        if refs:
            try:
                async with asyncio.timeout(account.timeout_seconds * LOOK_UP_PATIENCE):
                    found = await self._providers[account.provider].look_up(refs, account)
            except TimeoutError:
                log.warning("provider.look_up_timed_out", account=lane, invoices=len(refs))
        for evidence in found.values():
            if isinstance(evidence, (CredentialsRefused, RateLimited)):
                self._learn(lane, evidence)
        return [Judgement(claim.subject, _answer(found, claim, invoice), claim) for claim, invoice in items]


def _answer(found: Mapping[str, Evidence], claim: Claim, invoice: Any) -> Evidence:
    """The answer about one invoice, as asked at the claim by the database's clock; unasked is no last look."""
    if invoice is None or not invoice.provider_ref:
        return ClockRanOut()
    answer = found.get(invoice.provider_ref)
    if answer is None:
        return Unreadable(reason="no answer to the look-up within its time", asked_at=claim.claimed_at)
    return answer if answer.asked_at is None else dataclasses.replace(answer, asked_at=claim.claimed_at)


def _request(invoice: Any) -> CreateRequest:
    return CreateRequest(
        invoice_id=invoice.id,
        order_id=invoice.order_id,
        price=invoice.price,
        currency=invoice.currency,
        pay_currency=invoice.pay_currency,
        network=invoice.network,
        params=read_json(invoice.params),
    )


def clock(store: Store) -> Work:
    """CLOCK asks nobody and waits for nobody: claim, decide, write."""
    slots = Slots(CLOCK_BATCH)
    return Work(
        stage=Stage.CLOCK,
        lanes=lambda: [CLOCK_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.CLOCK, lane, limit, LEASE_MARGIN_SECONDS),
        claim_of=lambda claim: claim,
        commit=lambda claims: judge(store, [Judgement(claim.subject, ClockRanOut(), claim) for claim in claims]),
        batch=CLOCK_BATCH,
        timed=True,
    )


def publish(store: Store, stream: EventStream) -> Work:
    """PUBLISH: one holder at a time tells the stream, in the order of the events' numbers."""
    slots = Slots(1)

    async def tell(lane: str, claims: Sequence[Claim]) -> Sequence[Any]:
        claim = claims[0]
        wait_seconds = 0.0
        try:
            await _publish_all(store, stream, claim)
        except StaleFence as stale:
            log.warning("stream.lease_lost", error=str(stale))
        except (RedisError, OSError) as error:
            log.warning("stream.unavailable", error=first_line(error))
            wait_seconds = 1.0
        return [(claim, wait_seconds)]

    def finish(results: Sequence[tuple[Claim, float]]) -> None:
        for claim, wait_seconds in results:
            store.finish(claim, wait_seconds)

    return Work(
        stage=Stage.PUBLISH,
        lanes=lambda: [PUBLISH_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.PUBLISH, lane, limit, PUBLISH_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        perform=tell,
        commit=finish,
        batch=1,
        hold_slot=True,  # a bell that rings before the row is free again must find it free
    )


async def _publish_all(store: Store, stream: EventStream, claim: Claim) -> None:
    """Until nothing is left or a third of the lease is over: the next claim, by whomever, goes on."""
    fence = int(claim.claimed_at.timestamp() * 1_000_000)
    until = time.monotonic() + PUBLISH_LEASE_SECONDS / 3
    while time.monotonic() < until:
        events = await asyncio.to_thread(store.unpublished, PUBLISH_BATCH)
        if not events:
            return
        await stream.append([(event.id, event.body) for event in events], fence)
        await asyncio.to_thread(store.mark_published, [event.number for event in events])


def retain(store: Store, days: int) -> list[Work]:
    """RETAIN: what is finished and older than ``days`` goes, in small batches; 0 keeps everything."""
    slots = Slots(1)

    def remove(claims: Sequence[Claim]) -> None:
        for claim in claims:
            removed = store.remove_finished(timedelta(days=days))
            if removed:
                log.info("store.removed_old", rows=removed, older_than_days=days)
            store.finish(claim, RETAIN_PAUSE_SECONDS if removed else RETAIN_SECONDS)

    work = Work(
        stage=Stage.RETAIN,
        lanes=lambda: [RETAIN_LANE],
        slots=lambda _: slots,
        claim=lambda lane, limit: store.claim(Stage.RETAIN, lane, limit, PUBLISH_LEASE_SECONDS),
        claim_of=lambda claim: claim,
        commit=remove,
        batch=1,
    )
    return [work] if days else []


class DeliverStage:
    """DELIVER: the oldest unfinished event of each (endpoint, invoice), signed and posted."""

    def __init__(
        self, store: Store, sender: WebhookSender, breaker: Breaker, open_secrets: Callable[[], SecretBox]
    ) -> None:
        self._store = store
        self._sender = sender
        self._breaker = breaker
        self._open_secrets = open_secrets
        self._receivers: dict[str, Receiver] = {}
        self._slots: dict[str, Slots] = {}

    def work(self) -> Work:
        """The stage as a value."""
        return Work(
            stage=Stage.DELIVER,
            lanes=self._lanes,
            slots=self._slots_of,
            claim=self._claim,
            claim_of=lambda parcel: parcel.claim,
            perform=self._send,
            commit=self._store.settle,
            admit=self._breaker.admit,
        )

    def _lanes(self) -> Sequence[str]:
        self._receivers = {receiver.id: receiver for receiver in self._store.receivers()}
        return list(self._receivers)

    def _slots_of(self, lane: str) -> Slots:
        receiver = self._receivers.get(lane)
        slots = self._slots.setdefault(lane, Slots(1))
        slots.limit = receiver.max_in_flight if receiver else 1
        return slots

    def _claim(self, lane: str, limit: int) -> Sequence[Parcel]:
        if lane not in self._receivers:
            return []  # disabled or removed since: its deliveries wait
        claims = self._store.claim(Stage.DELIVER, lane, limit, WEBHOOK_SECONDS + LEASE_MARGIN_SECONDS)
        return self._store.load_parcels(claims) if claims else []

    async def _send(self, lane: str, parcels: Sequence[Parcel]) -> Sequence[Try]:
        parcel = parcels[0]
        if parcel.delivery_id is None:
            return [Try(parcel, "delivered")]
        receiver = self._receivers.get(lane)
        if receiver is None:
            return [Try(dataclasses.replace(parcel, delivery_id=None), "delivered")]
        with structlog.contextvars.bound_contextvars(stage="deliver", endpoint=lane, event_id=parcel.event_id):
            return [await self._try(receiver, parcel)]

    async def _try(self, receiver: Receiver, parcel: Parcel) -> Try:
        try:
            box = self._open_secrets()
            secrets = tuple(box.open(sealed) for sealed in receiver.secrets.split(","))
        except ValueError as error:  # sealed with a key that is no longer among ours: the operator's to mend
            log.error("webhook.secret_unreadable", error=first_line(error))
            return _failed(parcel, "secret: can't be opened with INVOICES_SECRET_KEY", None)
        outgoing = Outgoing(receiver.url, secrets, parcel.event_id, parcel.body, read_json(receiver.headers))
        attempt = await self._sender.send(outgoing)
        self._breaker.note(receiver.id, succeeded=attempt.outcome == "delivered")
        return _judge_attempt(parcel, attempt)


def _judge_attempt(parcel: Parcel, attempt: Attempt) -> Try:
    if attempt.outcome == "delivered":
        return Try(parcel, "delivered", None, attempt.status, attempt.latency_ms, attempt.answer)
    log.info("webhook.failed", outcome=attempt.outcome, error=attempt.error, tries=parcel.tries + 1)
    if parcel.tries + 1 == WARN_AT_TRY:
        log.warning("webhook.keeps_failing", error=attempt.error, tries=parcel.tries + 1)
    if attempt.outcome == "gone":
        return Try(parcel, "gone", attempt.error, attempt.status, attempt.latency_ms, attempt.answer)
    return _failed(parcel, attempt.error, attempt)


def _failed(parcel: Parcel, error: str | None, attempt: Attempt | None) -> Try:
    asked = attempt.retry_after_seconds if attempt else None
    wait = schedule.next_wait(parcel.tries + 1, random.random(), asked)  # noqa: S311 - jitter
    return Try(
        parcel,
        "failed",
        error,
        attempt.status if attempt else None,
        attempt.latency_ms if attempt else 0,
        attempt.answer if attempt else None,
        None if wait is None else wait.total_seconds(),
    )


def judge(store: Store, judgements: Sequence[Judgement]) -> None:
    """Hand evidence to the store and say in the log what came of it."""
    for outcome in store.judge(judgements):
        _tell(outcome)


def _tell(outcome: Outcome) -> None:
    fields = {"invoice_id": outcome.invoice_id, "order_id": outcome.order_id, "account": outcome.account}
    if outcome.event_type is not None:
        log.info(outcome.event_type, was=outcome.status_before, reason=outcome.reason, **fields)
    elif outcome.verdict == "applied":
        event = f"invoice.{outcome.status}"
        log.info(event, was=outcome.status_before, reason=outcome.reason, **fields)
    elif outcome.verdict == "contradiction":
        log.warning("invoice.contradicted", status=outcome.status, **fields)
