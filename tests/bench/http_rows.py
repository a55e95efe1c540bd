"""CREATE and DELIVER alone, in one process, against a bare loop over the same client with the same number in flight."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import redis.asyncio

from domain.account import Account
from domain.decision import Stage
from domain.evidence import Created
from domain.tracing import OFF, Tracer
from tests.bench import bare, limits
from tests.bench.ground import ACCOUNT, Ground, add_orders
from tests.bench.results import Row
from workers.coordination.breaker import Breaker
from workers.coordination.rate_limit import RateLimit
from workers.delivery.secretbox import SecretBox
from workers.delivery.webhook import WebhookSender
from workers.engine import Observer, Pump, Work
from workers.engine.memory import keep_what_is_loaded
from workers.http.address import AddressGuard
from workers.http.name_lookup import SystemLookup
from workers.providers.call import Call, open_client
from workers.providers.registry import build_providers
from workers.stages import DeliverStage, ProviderStages
from workers.store.endpoints import MAX_IN_FLIGHT
from workers.store.judging import Judgement
from workers.store.store import Store
from workers.store.tables import EVENT

Opener = Callable[[AsyncExitStack], Awaitable[Work]]


def run_stage(
    store: Store,
    open_work: Opener,
    count: int,
    cpu: list[float],
    tell: Callable[[Sequence[Any]], int] = len,
    observer: Observer | None = None,
) -> float:
    """One stage in a pump of its own until ``count`` results are committed (``tell`` counts them); results a second."""
    done, left = threading.Event(), [count]

    begun: list[tuple[float, float]] = []

    async def open_works(stack: AsyncExitStack) -> Sequence[Work]:
        work = await open_work(stack)
        begun.append((time.process_time(), time.perf_counter()))

        def commit(results: Sequence[Any]) -> None:
            work.commit(results)
            left[0] -= tell(results)
            if left[0] <= 0:
                done.set()

        return [dataclasses.replace(work, commit=commit, feeding=None)]  # its webhooks are sent by nobody here

    keep_what_is_loaded()  # as a worker does when it starts
    pump = Pump(open_works, store.next_due, store.release, lambda _: None, observer=observer)
    pump.start()
    if not done.wait(600):
        raise RuntimeError(f"{left[0]} results are missing after 600 s")
    used, seconds = (now - then for now, then in zip((time.process_time(), time.perf_counter()), begun[0], strict=True))
    cpu.append(used / count * 1000)
    pump.stop(10)
    return count / seconds


def provider_work(
    ground: Ground,
    store: Store,
    stage: Stage,
    account: Account,
    observer: Observer | None = None,
    tracer: Tracer = OFF,
) -> Opener:
    """CREATE or CHECK of one account, as the worker wires it."""

    async def open_work(stack: AsyncExitStack) -> Work:
        client = await stack.enter_async_context(open_client(account.max_in_flight + 100))
        limiter = await stack.enter_async_context(redis.asyncio.Redis.from_url(ground.valkey.redis_url))
        rate = RateLimit(limiter, {ACCOUNT: None})
        providers = build_providers(Call(client))
        works = ProviderStages(store, {ACCOUNT: account}, providers, rate, observer=observer, tracer=tracer).works()
        return next(work for work in works if work.stage is stage)

    return open_work


def deliver_work(ground: Ground, store: Store, observer: Observer | None = None, tracer: Tracer = OFF) -> Opener:
    """DELIVER, as the worker wires it."""

    async def open_work(stack: AsyncExitStack) -> Work:
        guard = AddressGuard([f"127.0.0.1:{ground.port}"], SystemLookup())
        sender = await stack.enter_async_context(WebhookSender(guard))
        client = await stack.enter_async_context(redis.asyncio.Redis.from_url(ground.valkey.redis_url))
        box = SecretBox([ground.secret_key])
        return DeliverStage(store, sender, Breaker(client), lambda: box, observer=observer, tracer=tracer).work()

    return open_work


def create_row(ground: Ground, delay_ms: int, key: str, note: str, width: int = 100) -> Row:
    """CREATE: claim, call, judge, commit."""
    count = ground.sizes.calls
    cpu: list[float] = []

    def ours() -> float:
        with ground.store() as store:
            add_orders(store, count)
            opener = provider_work(ground, store, Stage.CREATE, ground.account(delay_ms, width))
            return run_stage(store, opener, count, cpu)

    row = Row(key, f"CREATE alone, {width} in flight, {note}", "the same client in a bare loop", "calls/s", 0.6)
    row.run(ground.sizes.rounds, ours, lambda: bare.creates(ground, count, width, delay_ms))
    if delay_ms == 0:
        limits.tell(row, [limits.creates(ground, count, width) for _ in range(ground.sizes.rounds)])
    return with_cpu(row, cpu)


def deliver_row(ground: Ground, width: int = MAX_IN_FLIGHT) -> Row:
    """DELIVER: claim, sign, post, commit."""
    count = 3 * ground.sizes.calls  # without a wait in it, so many take five seconds: start and end weigh little
    cpu: list[float] = []

    def ours() -> float:
        with ground.store() as store:
            ground.subscribe(store, width)
            make_events(store, count)

            return run_stage(store, deliver_work(ground, store), count, cpu)

    row = Row("deliver", f"DELIVER alone, {width} in flight", "the same client in a bare loop", "calls/s", 0.6)
    row.run(ground.sizes.rounds, ours, lambda: bare.hooks(ground, count, width))
    by_hand = [_deliveries_by_hand(ground, count, width) for _ in range(ground.sizes.rounds)]
    return with_cpu(limits.tell(row, by_hand, "reads, signs and writes by hand"), cpu)


def _deliveries_by_hand(ground: Ground, count: int, width: int) -> float:
    with ground.store() as store:
        ground.subscribe(store, width)
        make_events(store, count)
        return limits.Deliveries(ground, store).rate(count, width)


def make_events(store: Store, count: int, tracer: Tracer = OFF) -> None:
    """Invoices that were just made: an event each, and a delivery for each endpoint."""
    add_orders(store, count, tracer=tracer)
    rows = store.claim_invoices(Stage.CREATE, ACCOUNT, count, 600)
    for start in range(0, count, 500):
        part = rows[start : start + 500]
        store.judge([Judgement(claim.subject, Created(provider_ref=claim.subject), claim) for claim, _ in part])
    with store.database.reading() as connection:
        found = connection.execute(EVENT.select().with_only_columns(EVENT.c.number)).all()
        assert len(found) == count, f"{len(found)} events instead of {count}"


def ceiling_rows(ground: Ground) -> list[Row]:
    """The stand-in itself, against the fastest thing that calls it: no figure here is the stand-in's own."""
    calls, rounds = ground.sizes.calls, ground.sizes.rounds
    create = Row("ceiling", "the stand-in as provider, raw protocol", "CREATE's bare loop", "answers/s", 2.0)
    create.run(rounds, lambda: bare.ceiling(ground, calls * 3, 100), lambda: bare.creates(ground, calls, 100, 0))
    width = MAX_IN_FLIGHT
    hook = Row("ceiling-hook", "the stand-in as receiver, raw protocol", "DELIVER's bare loop", "answers/s", 2.0)
    hook.run(rounds, lambda: bare.ceiling(ground, calls * 3, width, "/hook"), lambda: bare.hooks(ground, calls, width))
    return [create, hook]


def with_cpu(row: Row, cpu: Sequence[float], whose: str = "this process") -> Row:
    row.cpu_ms = {whose: round(sorted(cpu)[len(cpu) // 2], 3)}
    return row


def rows(ground: Ground) -> dict[str, Callable[[], Row | list[Row]]]:
    """By key."""
    return {
        "ceiling": lambda: ceiling_rows(ground),
        "create": lambda: create_row(ground, 100, "create", "100 ms stand-in"),
        "create-at-once": lambda: create_row(ground, 0, "create-at-once", "stand-in answers at once"),
        "deliver": lambda: deliver_row(ground),
    }
