"""The processes: an intake and a worker, put together of the real parts as ``workers.bootstrap`` does it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from contextvars import Context
from types import SimpleNamespace
from typing import Any

from cryptography.fernet import Fernet

from domain.account import Account
from tests.over_httpx import OverHttpx
from tests.simulation.caller import KEY
from tests.simulation.database import START, HostDatabase, unavailable
from tests.simulation.loop import HOST, Died, Host
from tests.simulation.plan import UNTIL_TAKEN_SECONDS
from tests.simulation.wire import HOOK_FAULTS, Wire
from workers import bootstrap
from workers.coordination.breaker import Breaker
from workers.coordination.doorbell import REST_SECONDS, Doorbell
from workers.coordination.rate_limit import RateLimit
from workers.delivery.secretbox import SecretBox
from workers.delivery.stream import EventStream
from workers.delivery.webhook import WebhookSender
from workers.engine import Pump
from workers.http.address import AddressGuard
from workers.http.client import LeanClient
from workers.intake.cancellations import cancel_order
from workers.intake.desk import Desk, IntakeMessage
from workers.intake.message import Accepted, inspect
from workers.intake.orders import take_order, take_orders
from workers.providers.call import Call
from workers.providers.registry import build_providers
from workers.queue import tasks
from workers.stages import DeliverStage, ProviderStages, callbacks, clock, publish, watching
from workers.store.database import UNAVAILABLE
from workers.store.store import Store

TIMEOUT_SECONDS = 2.0
LOCK_PATIENCE_SECONDS = 5.0
BOX = SecretBox([Fernet.generate_key().decode()])
SECRET = BOX.seal("whsec_c2ltdWxhdGlvbiBzZWNyZXQ=")

ACCOUNTS = {
    name: Account.model_validate(
        {
            "name": name,
            "base_url": "https://provider.example",
            "api_key": KEY,
            "timeout_seconds": TIMEOUT_SECONDS,
            "lifetime_minutes": "0.5",
            "poll_seconds": 10,
            "max_in_flight": 4,
            "refund_watch_days": "0.0002",
        }
        | own
    )
    for name, own in {
        "zeroxhost": {"provider": "zeroxhost", "profile": "order"},
        "held": {"provider": "zeroxhost", "profile": "order", "on_doubt": "hold"},
        "nebulox": {"provider": "nebulox", "callback_grace_minutes": "2"},
    }.items()
}
SETTINGS: Any = SimpleNamespace(accounts=ACCOUNTS, monitor_minutes=1)
POLICIES = bootstrap.policies(SETTINGS)

TASKS = {task.name: task for task in (tasks.create, tasks.create_many, tasks.cancel)}


class QuickDoorbell(Doorbell):
    """The doorbell, its thread's work done by the loop."""

    loop: Any = None

    def ring(self, stage: Any, lane: str) -> None:
        doorbell = (stage.value, lane)
        if doorbell not in self._asked and self._clock() >= self._away_until:
            self._asked.add(doorbell)
            self.loop.call_later(REST_SECONDS, self._ring_asked, doorbell)

    def _ring_asked(self, doorbell: tuple[str, str]) -> None:
        self._asked.discard(doorbell)
        if self._clock() >= self._away_until:
            self._ring(*doorbell)


class Process(Host):
    """An operating-system process that may die at each of its steps."""

    def __init__(self, world: Any, name: str) -> None:
        super().__init__(name)
        self.world = world
        self.luck = world.draw_luck(busy=isinstance(self, Worker))
        self.skew_seconds = world.dice.choice((0.0, 0.0, 240.0, -240.0)) if "clock" in world.plan.faults else 0.0
        self.steps = self.commits = 0
        self.until_taken = False
        self.database = HostDatabase(world.engine, self)
        client = LeanClient(OverHttpx(Wire(world, world.providers.serve)))
        self.providers = build_providers(Call(client, self.host_now))
        doorbell = QuickDoorbell(world.keys, lambda _, arguments: world.send_bell(*arguments), world.loop.time)
        doorbell.loop = world.loop
        store = Store(self.database, POLICIES, lambda lane: self.runtime.ring(*lane))
        self.runtime = bootstrap.Runtime(SETTINGS, store, self.providers, doorbell)

    def host_now(self) -> Any:
        """This host's own clock, which may be minutes off."""
        return self.world.clock_of(self)

    # ------------------------------------------------------------ faults

    async def main(self) -> None:
        """What it does until it dies."""
        raise NotImplementedError

    def arrive(self) -> None:
        try:
            self._step()
        except Died:
            return

    def at_statement(self) -> None:
        self._step()

    def before_transaction(self) -> None:
        """Others may come in between any two transactions."""
        self._step()
        world = self.world
        if world.dice.random() < 0.12:
            world.loop.pause(world.dice.random() * (0.02 if world.dice.random() < 0.8 else 0.5))
        while self.frozen_until > world.loop.now and world.loop.pause(min(0.5, self.frozen_until - world.loop.now)):
            pass
        if self.dead:
            raise Died
        if world.database_is_down():
            raise unavailable("the server is gone")

    def before_write(self) -> None:
        """An outsider's lock is waited for, but not for ever."""
        world, waited = self.world, 0.0
        while world.database_is_locked():
            if waited >= LOCK_PATIENCE_SECONDS or not world.loop.pause(0.5):
                raise unavailable("database is locked")
            waited += 0.5
        if self.dead:
            raise Died

    def before_commit(self) -> None:
        self.commits += 1
        self._commit_fault("before")

    def after_commit(self) -> None:
        self._commit_fault("after")

    def _commit_fault(self, side: str) -> None:
        fault = self.luck.commits.get(self.commits)
        if fault is None or not fault.endswith(side) or self.world.is_calm():
            return
        self.world.note(self.name, fault)
        if fault.startswith("die"):
            self._die()
        raise unavailable("the connection was lost")

    def _step(self) -> None:
        if self.dead:
            raise Died
        self.steps += 1
        fault = self.luck.steps.get(self.steps)
        if fault is None or self.world.is_calm():
            return
        kind, seconds = fault
        self.world.note(self.name, kind, seconds)
        if kind == "die":
            self._die()
        self.freeze(seconds)

    def freeze(self, seconds: float) -> None:
        """Suspended: its answers come in, and wait with everything else."""
        self.frozen_until = self.world.loop.now + seconds
        self.until_taken = seconds == UNTIL_TAKEN_SECONDS
        self.world.loop.at_world(seconds, lambda: None)

    def is_awake(self) -> bool:
        """It works on what it holds."""
        return not self.dead and self.frozen_until <= self.world.loop.now

    def lose(self) -> None:
        """Somebody took over a lease of this host: the worst moment for it to come back."""
        if self.until_taken and not self.dead:
            self.until_taken = False
            self.world.loop.at_world(self.world.dice.random() * 0.2, self._thaw)

    def _thaw(self) -> None:
        self.world.note(self.name, "thaws")
        self.frozen_until = self.world.loop.now

    def _die(self) -> None:
        self.world.bury(self)
        raise Died


class Intake(Process):
    """Takes messages one by one; acknowledges when the real task says so."""

    async def main(self) -> None:
        broker = self.world.broker
        while True:
            tag, message = await broker.claim(self)
            headers = {"lang": "py", "task": message.task, "id": message.id}
            properties = {"delivery_tag": message.id}
            now = self.host_now()
            judged = inspect(headers, properties, message.body, "application/json", "utf-8", now=now)
            assert isinstance(judged, Accepted), judged
            if not TASKS[judged.task].acks_late:
                broker.acknowledge(tag)
            await self._insist(IntakeMessage(judged.task, judged.arguments[0], judged.arguments[1]))
            await asyncio.sleep(self.world.latency())
            broker.acknowledge(tag)

    async def _insist(self, message: IntakeMessage) -> None:
        """As ``tasks._insist``: again and again while the database is away."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(None, self._take, message)
            except UNAVAILABLE:
                await asyncio.sleep(tasks.FIRST_DELAY_SECONDS)
            else:
                return

    def _take(self, message: IntakeMessage) -> None:
        desk = Desk(self.runtime.store, ACCOUNTS, self.providers)
        if message.task == tasks.cancel.name:
            cancel_order(desk, message, self._wait)
        elif message.task == tasks.create.name:
            take_order(desk, message)
        else:
            take_orders(desk, message)

    def _wait(self, seconds: float) -> bool:
        self.world.loop.pause(seconds)
        return False


class Worker(Process):
    """A pump with every stage."""

    def __init__(self, world: Any, name: str) -> None:
        super().__init__(world, name)
        store, doorbell = self.runtime.store, self.runtime.doorbell
        self.pump = self.runtime.pump = Pump(
            self._open_works,
            store.next_due,
            store.release,
            lambda lane: doorbell.ring(*lane),
            lambda lane: doorbell.clear(*lane),
        )
        self.context = Context()
        self.context.run(HOST.set, self)

    async def main(self) -> None:
        await self.pump._main()
        self.world.bury(self)

    def stop(self) -> None:
        """SIGTERM."""
        self.context.run(self.pump.stop, 5.0)

    async def _open_works(self, stack: AsyncExitStack) -> list[Any]:
        world, store = self.world, self.runtime.store
        sender = WebhookSender(AddressGuard(), clock=lambda: self.host_now().timestamp())
        sender._client = LeanClient(OverHttpx(Wire(world, world.receiver.serve, HOOK_FAULTS)))
        accounts = ProviderStages(store, ACCOUNTS, self.providers, RateLimit(world.scripts, {}))
        deliver = DeliverStage(store, sender, Breaker(world.scripts), lambda: BOX)
        store.add_standing()
        stream = EventStream(world.scripts, "events", 1000)
        await stack.enter_async_context(watching(store.timekeeper(SimpleNamespace(now=self.host_now)).look))
        judged = callbacks(store, ACCOUNTS, self.providers)
        return [*accounts.works(), judged, clock(store), publish(store, stream), deliver.work()]


__all__ = ["ACCOUNTS", "POLICIES", "SECRET", "START", "TASKS", "Intake", "Process", "Worker"]
