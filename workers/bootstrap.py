"""Builds the runtime once per process, from the settings. Nothing is built at import."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal

import redis.asyncio
import structlog

from config.logging import register_secrets
from config.settings import Settings, SettingsError, load_settings
from domain.account import Account
from domain.decision import Policy, Stage
from domain.ports import Provider
from workers.coordination.breaker import Breaker
from workers.coordination.connections import ONE_TRY, ONE_TRY_ASYNC, open_async_redis, open_redis
from workers.coordination.doorbell import Doorbell
from workers.coordination.look_up_budget import LookUpBudget
from workers.coordination.rate_limit import RateLimit
from workers.delivery.secretbox import SecretBox
from workers.delivery.traced_stream import open_stream
from workers.delivery.webhook import WebhookSender
from workers.embedded.home import make_home
from workers.embedded.valkey import ensure_valkey
from workers.engine import AnyWork, EngineLog, Observer, Observers, Pump, engine_log
from workers.http.address import AddressGuard
from workers.http.client import LeanClient
from workers.http.name_lookup import SystemLookup
from workers.http.open_files import webhook_connections
from workers.intake.unstored import Unstored
from workers.providers.call import Call, open_client
from workers.providers.registry import PROVIDERS, build_providers
from workers.shipped import VERSION
from workers.stages import DeliverStage, DriftWatch, ProviderStages, callbacks, clock, publish, retain, watching
from workers.store.agenda import Lane
from workers.store.database import Database
from workers.store.processes import Heartbeat, start_heartbeat
from workers.store.store import Store
from workers.telemetry.listener import MetricsListener, show_slots
from workers.telemetry.liveness import Liveness
from workers.telemetry.metrics import Metrics
from workers.telemetry.server import MetricsServer
from workers.telemetry.service_manager import ServiceManager, open_service_manager
from workers.telemetry.tally import WorkTally
from workers.telemetry.traces import Traces, open_traces, secrets_of

log = structlog.get_logger()

#: How many connections to the database the store of a worker or a command may have.
STORE_CONNECTIONS = 12

#: A busy pump answers within milliseconds.
PUMP_ANSWERS_SECONDS = 5.0


@dataclass(slots=True)
class Runtime:
    """What a worker process works with."""

    settings: Settings
    store: Store
    providers: Mapping[str, Provider]
    doorbell: Doorbell
    observer: Observer = field(default_factory=EngineLog)  #: of engine and stages
    pump: Pump | None = None
    heartbeat: Heartbeat | None = None
    traces: Traces = field(default_factory=Traces)
    stopping: threading.Event = field(default_factory=threading.Event)

    def ring(self, stage: Stage | str, lane: str) -> None:
        """There is work: wake this process's pump, or some other process if it has none. Never raises."""
        if self.pump is not None:
            self.pump.wake((Stage(stage), lane))
        else:
            self.doorbell.ring(Stage(stage), lane)

    def wake(self, stage: str, lane: str) -> None:
        """A doorbell was heard."""
        if self.pump is not None and self.pump.leave_pending((Stage(stage), lane)):
            self.doorbell.leave_pending(stage, lane)
            return
        self.doorbell.clear(stage, lane)
        if self.pump is not None:
            self.pump.wake((Stage(stage), lane))

    def wake_all(self) -> None:
        """Beat's sweep was heard: look at every lane now."""
        if self.heartbeat is not None:
            self.heartbeat.swept()
        if self.pump is not None:
            self.pump.sweep()


_runtime: Runtime | None = None
_building = threading.Lock()
_stopping = threading.Event()
_serving: list[MetricsServer] = []


def runtime() -> Runtime:
    """The process's runtime, built at the first call."""
    global _runtime  # noqa: PLW0603 - one per process, by design
    with _building:
        if _runtime is None:
            _runtime = build_runtime(load_settings())
        return _runtime


def stopping() -> threading.Event:
    """Set when this process is told to stop."""
    return _stopping


def running() -> Runtime | None:
    """The process's runtime if it is built already: for signal handlers, which must not wait for a lock."""
    return _runtime


@functools.cache
def unstored() -> Unstored:
    """The queue of messages that could be neither stored nor listed. It opens no connection yet."""
    from workers.app import app, settings

    return Unstored(app, lambda: open_redis(settings.redis_url, ONE_TRY))


@functools.cache
def metrics() -> Metrics:
    """The process's metrics, declared at the first call."""
    return Metrics(VERSION)


@functools.cache
def liveness() -> Liveness:
    """The loops of this process that are watched."""
    return Liveness()


@functools.cache
def service_manager() -> ServiceManager:
    """systemd, if it started this process."""
    return open_service_manager(os.environ)


def serve_metrics(settings: Settings) -> None:
    """Serve metrics and liveness, if the settings say so, until ``stop_metrics``. Raises PortTaken."""
    port = settings.metrics_port
    if port.number:
        registry, allowed = metrics().registry, settings.metrics_allow
        stuck = liveness().stuck
        _serving.append(MetricsServer(registry, port.number, or_next=port.or_next, allowed=allowed, stuck=stuck))


def tell_role(role: str) -> None:
    """The process is ready: tell its role, and where its metrics are."""
    metrics().tell_role(role)
    for server in _serving:
        server.tell()


def stop_metrics() -> None:
    """Stop serving metrics. Harmless if none are served."""
    while _serving:
        _serving.pop().close()


def build_runtime(settings: Settings, connections: int = STORE_CONNECTIONS) -> Runtime:
    """Wire everything but the pump. It opens no connection yet; later at most ``connections`` to the database."""
    from workers.app import app  # not at the top: importing the app reads the settings

    def send(task: str, arguments: list[str]) -> None:
        app.send_task(task, args=arguments, ignore_result=True, retry=False)

    doorbell = Doorbell(open_redis(settings.redis_url, ONE_TRY), send)
    runtime: Runtime

    def ring(lane: Lane) -> None:
        runtime.ring(*lane)

    providers = build_providers(Call(open_providers_client(settings.accounts)))
    register_secrets(secrets_of(os.environ))
    traces = open_traces(os.environ, VERSION)
    observer = Observers(engine_log(settings.log_level), MetricsListener(metrics()), *traces.observers)
    runtime = Runtime(settings, open_store(settings, ring, connections), providers, doorbell, observer, traces=traces)
    return runtime


def open_providers_client(accounts: Mapping[str, Account]) -> LeanClient:
    """A client with a connection for every call that the accounts may have under way, and threads enough that no
    look-up of a name waits for another's. The time-out of the call bounds the look-up, too."""
    lookup = SystemLookup(timeout_seconds=600, threads=8 * (len(accounts) + 1))
    return open_client(sum(account.max_in_flight for account in accounts.values()) + 100, lookup)


def open_store(
    settings: Settings, ring: Callable[[Lane], None] = lambda _: None, connections: int = STORE_CONNECTIONS
) -> Store:
    """The store that the settings name. Without ``ring``, workers find its new work by their sweep, within a second."""
    return Store(Database(settings.database_url, pool_size=connections), policies(settings), ring)


def check_accounts(settings: Settings) -> None:
    """Raise SettingsError for an account that its provider can't work with."""
    for name, account in settings.accounts.items():
        try:
            PROVIDERS[account.provider].check_account(account)
        except ValueError as error:
            raise SettingsError(f"INVOICES_ACCOUNTS: {name}.{error}") from None


def warn_of_plain_http(settings: Settings) -> None:
    """Log the accounts whose key anybody on the way to the provider could read."""
    for name, account in settings.accounts.items():
        if account.is_called_in_the_clear():
            log.warning("account.plain_http", account=name, base_url=account.base_url)


def policies(settings: Settings) -> Mapping[str, Policy]:
    """Each account's policy: what the operator set, and what its provider can do."""
    providers = {name: account.provider for name, account in settings.accounts.items()}
    return {name: _policy(account, settings, providers) for name, account in settings.accounts.items()}


def _policy(account: Account, settings: Settings, providers: Mapping[str, str]) -> Policy:
    return Policy(
        lifetime_minutes=account.lifetime_minutes,
        timeout_seconds=account.timeout_seconds,
        on_doubt=account.on_doubt,
        poll_seconds=account.poll_seconds,
        hold_refused_minutes=account.hold_refused_minutes,
        monitor_minutes=settings.monitor_minutes,
        can_be_asked=PROVIDERS[account.provider].can_be_asked,
        asked_by_reference=PROVIDERS[account.provider].asked_by_reference,
        searchable=PROVIDERS[account.provider].can_search(account),
        callback_grace_minutes=account.callback_grace_minutes,
        late_payment=account.late_payment,
        look_ups_per_second=account.look_ups_per_second,
        refund_watch_days=account.refund_watch_days if PROVIDERS[account.provider].tells_refunds else Decimal(0),
        underpaid_tolerance_percent=account.underpaid_tolerance_percent,
        providers=providers,
    )


class Movement(Observer):
    """Tells the heartbeat when work was committed."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def committed(self, stage: Stage, results: int, left: int, seconds: float) -> None:
        """By any stage."""
        if results:
            self._heartbeat.moved()


def show_alive(*roles: str) -> None:
    """Record regularly that this process runs in these roles, until it is told to stop."""
    current = runtime()
    if current.heartbeat is None:
        accounts = current.settings.accounts
        current.heartbeat = start_heartbeat(current.store.database, roles, accounts, _stopping)


def start_pump() -> None:
    """Give this process a pump. Harmless if it has one."""
    current = runtime()
    if current.pump is None:
        store, observer = current.store, current.observer
        if current.heartbeat is not None:
            tally = WorkTally()
            current.heartbeat.report = tally.report
            observer = Observers(observer, Movement(current.heartbeat), tally)
        current.pump = Pump(
            lambda stack: open_works(current, stack),
            store.next_due,
            store.release,
            lambda lane: current.doorbell.ring(*lane),
            lambda lane: current.doorbell.clear(*lane),
            observer,
        )
        show_slots(metrics(), current.pump.slots_used)
        current.pump.start()
        liveness().watch("pump", functools.partial(current.pump.goes_on, PUMP_ANSWERS_SECONDS))


async def open_works(current: Runtime, stack: AsyncExitStack) -> Sequence[AnyWork]:
    """Every stage of this process. Runs on the pump's loop."""
    settings, store = current.settings, current.store
    client = open_async_redis(settings.redis_url)
    stack.push_async_callback(client.aclose)
    hasty = open_async_redis(settings.redis_url, ONE_TRY_ASYNC)
    stack.push_async_callback(hasty.aclose)
    sender = await _open_sender(settings, stack)
    limits = _limits_of(settings.accounts, hasty)
    told, tracer = current.observer, current.traces.tracer
    drift = DriftWatch(settings.accounts, current.providers)
    accounts = ProviderStages(store, settings.accounts, current.providers, *limits, told, tracer, drift)
    if current.heartbeat is not None:
        current.heartbeat.rests = accounts.rests
    open_box = functools.partial(secret_box, settings)
    deliver = DeliverStage(store, sender, Breaker(hasty), open_box, webhook_connections(), told, tracer)
    stream = open_stream(client, settings.stream, settings.stream_maxlen, tracer)
    store.add_standing()
    store.gather_look_ups()
    await stack.enter_async_context(watching(store.timekeeper().look))
    return [
        *accounts.works(),
        clock(store, told),
        callbacks(store, settings.accounts, current.providers, told, drift),
        publish(store, stream),
        deliver.work(),
        *retain(store, settings.retention_days, archived=settings.archive_dir is not None),
    ]


async def _open_sender(settings: Settings, stack: AsyncExitStack) -> WebhookSender:
    lookup = SystemLookup()
    stack.callback(lookup.close)
    guard = AddressGuard(settings.webhook_allow, lookup)
    return await stack.enter_async_context(WebhookSender(guard))


def _limits_of(accounts: Mapping[str, Account], client: redis.asyncio.Redis) -> tuple[RateLimit, LookUpBudget]:
    rates = {name: account.rate_per_second for name, account in accounts.items()}
    budgets = {name: one.look_ups_per_second for name, one in accounts.items() if one.look_ups_per_second}
    return RateLimit(client, rates), LookUpBudget(client, budgets)


def secret_box(settings: Settings) -> SecretBox:
    """Opens and seals endpoint secrets. Raises SettingsError without a usable key."""
    keys = [key.get_secret_value() for key in settings.secret_keys()]
    register_secrets(keys)  # a key that was made under ``home`` is not among the settings' own
    return SecretBox(keys)


def prepare_embedded(settings: Settings) -> None:
    """Start what is embedded: the Valkey, and the SQLite file with its tables."""
    if settings.embedded_broker:
        ensure_valkey(settings.home)
    if settings.embedded_database:
        from workers.store.schema import upgrade  # with all of Alembic

        make_home(settings.home)
        upgrade(settings.database_url)
