"""DELIVER: the oldest unfinished event of each (endpoint, invoice), signed and posted."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from domain import schedule
from domain.decision import Stage
from domain.trace import trace_of_event
from domain.tracing import OFF, Attributes, Tracer
from workers.coordination.breaker import Breaker
from workers.delivery.attempt import Attempt, Outgoing
from workers.delivery.secretbox import SecretBox, SecretUnreadable
from workers.delivery.webhook import WebhookSender
from workers.engine import Admission, Attempted, Batching, Keeping, Observer, ReadAhead, Slots, Work
from workers.http.connections import Connections
from workers.http.open_files import WEBHOOKS
from workers.stages.told import EndpointHealth
from workers.store.agenda import lease_clock
from workers.store.database import first_line
from workers.store.deliveries import DeliveryAttempt
from workers.store.live_endpoints import LiveEndpoint
from workers.store.outbox import ClaimedDelivery
from workers.store.store import Store

log = structlog.get_logger()

WEBHOOK_SECONDS = 15.0
DELIVER_LEASE_SECONDS = WEBHOOK_SECONDS + 10  #: the longest attempt, and time to wait for a connection and to commit
COMMIT_MARGIN_SECONDS = 5.0  #: the part of the lease that is left for the commit
#: Between commits of attempts. Only the next event of the same invoice, if there is one, waits for them.
SETTLE_SECONDS = 0.05
CONNECTION_WAIT_SECONDS = 0.2  #: until an endpoint that may have no more connections is looked at again
#: After a webhook that could not be started its endpoint rests for this long, then gets one at a time until one starts.
REST_SECONDS = 1.0
USED_LANES = 400  #: of many endpoints, those used last are looked at each second even if nothing is due there
WARN_AT_TRY = 4  #: about three minutes after the first: more than a hiccup


#: An endpoint's secrets and headers as they are kept: encrypted, and headers that the release before left in the clear.
_Sealed = tuple[str, str | None, str]


class _Opened(NamedTuple):
    """The same, decrypted."""

    secrets: tuple[str, ...]
    headers: Mapping[str, str]


def _sealed(endpoint: LiveEndpoint) -> _Sealed:
    return endpoint.secrets, endpoint.sealed_headers, endpoint.headers


class DeliverStage:
    """DELIVER: the oldest unfinished event of each (endpoint, invoice), signed and posted."""

    def __init__(
        self,
        store: Store,
        sender: WebhookSender,
        breaker: Breaker,
        open_secrets: Callable[[], SecretBox],
        connections: int = WEBHOOKS,
        observer: Observer | None = None,
        tracer: Tracer = OFF,
    ) -> None:
        """``connections``: the most there may be, to all endpoints together. The more are in use, the fewer each
        endpoint gets. A webhook's time-out starts only when it has one."""
        self._store = store
        self._sender = sender
        self._breaker = breaker
        self._open_secrets = open_secrets
        self._tracer = tracer
        self._connections = Connections(connections)
        self._observer, self._health = observer or Observer(), EndpointHealth()
        self._resting: dict[str, float] = {}  #: endpoint -> until when, after a webhook that could not be started
        self._endpoints: dict[str, LiveEndpoint] = {}
        self._used: OrderedDict[str, None] = OrderedDict()  #: lanes, the last used ones last
        self._slots: dict[str, Slots] = {}
        self._opened: dict[_Sealed, _Opened] = {}  #: opening costs as much as a post

    def work(self) -> Work[ClaimedDelivery, DeliveryAttempt]:
        """The stage as a value."""
        return Work(
            stage=Stage.DELIVER,
            lanes=self._lanes,
            slots=self._slots_of,
            claim=self._claim,
            claim_of=lambda delivery: delivery.claim,
            perform=self._send,
            commit=self._store.settle_free,
            name_of=lambda one: {"endpoint": one.delivery.claim.lane, "event_id": one.delivery.event_id},
            batching=Batching(gather_seconds=SETTLE_SECONDS),
            admission=Admission(self._admit, self._breaker.give_back, self._passes, self._breaker.look),
            keeping=Keeping(self._renew),
            read_ahead=ReadAhead(),
        )

    def _lanes(self) -> Sequence[str]:
        """The endpoints that have something to send, or had lately; where there are few, all."""
        found = self._store.live_endpoints_in_use(list(self._used))
        self._endpoints = {endpoint.id: endpoint for endpoint in found}
        self._resting = {lane: until for lane, until in self._resting.items() if lane in self._endpoints}
        self._health.keep(self._endpoints)
        used = {_sealed(endpoint) for endpoint in self._endpoints.values()} & self._opened.keys()
        self._opened = {sealed: self._opened[sealed] for sealed in used}
        return list(self._endpoints)

    def _slots_of(self, lane: str) -> Slots:
        self._used[lane] = None
        self._used.move_to_end(lane)
        if len(self._used) > USED_LANES:
            self._used.popitem(last=False)
        endpoint = self._endpoints.get(lane)
        slots = self._slots.setdefault(lane, Slots(1))
        slots.limit = self._limit(endpoint) if endpoint else 0  # nothing is reserved, and its claim finds nothing
        slots.offer()  # the limit may have risen with nothing under way whose end would offer a slot
        return slots

    def _limit(self, endpoint: LiveEndpoint) -> int:
        """How many may be under way: its limit, or its share of connections; one while none could be started."""
        if endpoint.id in self._resting:
            return 1
        return max(1, min(endpoint.max_in_flight, self._connections.cap(endpoint.id)))

    def _claim(self, lane: str, limit: int) -> Sequence[ClaimedDelivery]:
        if lane not in self._endpoints:
            return []  # disabled or removed since: its deliveries wait
        return self._store.claim_deliveries(lane, limit, DELIVER_LEASE_SECONDS)

    def _renew(self, attempts: Sequence[DeliveryAttempt], seconds: float) -> None:
        self._store.renew([one.delivery.claim for one in attempts], seconds)

    async def _admit(self, lane: str, asked: int) -> tuple[int, float]:
        wait = self._resting.get(lane, 0.0) - time.monotonic()
        if wait > 0:
            return 0, wait
        if self._connections.room(lane) <= 0:  # claimed rows would only wait here; another worker may have connections
            return 0, CONNECTION_WAIT_SECONDS
        return await self._breaker.admit(lane, asked)

    def _passes(self, lane: str) -> bool:
        return lane not in self._resting and self._connections.room(lane) > 0 and self._breaker.passes(lane)

    async def _send(self, lane: str, deliveries: Sequence[ClaimedDelivery]) -> Sequence[DeliveryAttempt]:
        delivery = deliveries[0]
        if delivery.delivery_id is None:
            return [await self._unsent(delivery)]
        # Never unbound: this task is the delivery's own, and so is its context.
        structlog.contextvars.bind_contextvars(stage="deliver", endpoint=lane, event_id=delivery.event_id)
        patience = _time_left(delivery)
        if patience <= 0 or not await self._connections.take(lane, patience):
            return [await self._leave_due(delivery, "its lease is nearly over: another worker would send it too")]
        try:
            endpoint = self._endpoints.get(lane)
            if endpoint is None or self._breaker.stops(lane):
                return [await self._unsent(delivery)]
            return [await self._attempt(endpoint, delivery)]
        finally:
            self._connections.give(lane)

    async def _leave_due(self, delivery: ClaimedDelivery, reason: str | None) -> DeliveryAttempt:
        """It could not be started: another worker, or a later claim, sends it."""
        log.info("webhook.put_off", reason=reason)
        return await self._unsent(delivery)

    async def _unsent(self, delivery: ClaimedDelivery) -> DeliveryAttempt:
        """No attempt was made: without a ``delivery_id`` settling writes none, whatever the outcome says. It points the
        agenda row at the next event, this one if it is still due."""
        await self._breaker.give_back(delivery.claim.lane, 1)
        return DeliveryAttempt(delivery._replace(delivery_id=None), "delivered")

    def _open(self, endpoint: LiveEndpoint) -> _Opened:
        """The secrets that sign for this endpoint, and its own headers. Raises ValueError and SecretUnreadable."""
        sealed = _sealed(endpoint)
        if sealed not in self._opened:
            box = self._open_secrets()
            secrets = tuple(box.open(secret) for secret in endpoint.secrets.split(","))
            self._opened[sealed] = _Opened(secrets, box.open_headers(endpoint.sealed_headers, endpoint.headers))
        return self._opened[sealed]

    async def _attempt(self, endpoint: LiveEndpoint, delivery: ClaimedDelivery) -> DeliveryAttempt:
        try:
            opened = self._open(endpoint)
        except (ValueError, SecretUnreadable) as error:
            # Sealed with a key that we don't have: an operator must repair that, and the schedule gives them time.
            log.error("webhook.secret_unreadable", error=first_line(error))
            self._observer.attempted(Attempted(delivery.claim.lane, "secret_unreadable"))
            return _failed(delivery, "secret: can't be opened with INVOICES_SECRET_KEY", None)
        began = lease_clock()
        attempt = await self._post(endpoint, opened, delivery)
        if attempt.outcome == "put_off":
            self._resting[endpoint.id] = time.monotonic() + REST_SECONDS
            return await self._leave_due(delivery, attempt.error)
        self._resting.pop(endpoint.id, None)
        if attempt.outcome == "gone":  # it is disabled by the commit: nothing more is sent meanwhile
            self._endpoints.pop(endpoint.id, None)
        self._connections.note(endpoint.id, attempt.latency_ms / 1000)
        self._breaker.note(endpoint.id, succeeded=attempt.outcome == "delivered")
        self._observer.attempted(self._health.attempted(delivery, attempt.outcome, began, DELIVER_LEASE_SECONDS))
        return _outcome_of(delivery, attempt)

    async def _post(self, endpoint: LiveEndpoint, opened: _Opened, delivery: ClaimedDelivery) -> Attempt:
        about: Attributes = {"endpoint": endpoint.id, "event_id": delivery.event_id, "attempt": delivery.tries + 1}
        span = self._tracer.begin("webhook.deliver", trace_of_event(delivery.body), about, kind="client")
        outgoing = Outgoing(endpoint.url, opened.secrets, delivery.event_id, delivery.body, opened.headers, span.trace)
        attempt = await self._sender.send(outgoing)
        kind = None if attempt.error is None else attempt.error.partition(":")[0]  # the rest are the endpoint's words
        span.end({"outcome": attempt.outcome, "status": attempt.status}, error=kind)
        return attempt


def _time_left(delivery: ClaimedDelivery) -> float:
    """Seconds in which an attempt may still start and be committed under its lease, however long it takes."""
    return delivery.claim.over_at - lease_clock() - WEBHOOK_SECONDS - COMMIT_MARGIN_SECONDS


def _outcome_of(delivery: ClaimedDelivery, attempt: Attempt) -> DeliveryAttempt:
    if attempt.outcome == "delivered":
        return DeliveryAttempt(delivery, "delivered", None, attempt.status, attempt.latency_ms, attempt.answer)
    log.info("webhook.failed", outcome=attempt.outcome, error=attempt.error, tries=delivery.tries + 1)
    if delivery.tries + 1 == WARN_AT_TRY:
        log.warning("webhook.keeps_failing", error=attempt.error, tries=delivery.tries + 1)
    if attempt.outcome == "gone":
        return DeliveryAttempt(delivery, "gone", attempt.error, attempt.status, attempt.latency_ms, attempt.answer)
    return _failed(delivery, attempt.error, attempt)


def _failed(delivery: ClaimedDelivery, error: str | None, attempt: Attempt | None) -> DeliveryAttempt:
    asked = attempt.retry_after_seconds if attempt else None
    wait = schedule.delivery_wait(delivery.tries + 1, random.random(), asked)  # noqa: S311 - jitter
    return DeliveryAttempt(
        delivery,
        "failed",
        error,
        attempt.status if attempt else None,
        attempt.latency_ms if attempt else 0,
        attempt.answer if attempt else None,
        None if wait is None else wait.total_seconds(),
    )
