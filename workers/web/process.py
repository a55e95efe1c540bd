"""Builds the web process from its settings, and runs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from urllib.parse import urlsplit

import structlog
from redis import Redis
from redis.exceptions import RedisError
from starlette.routing import BaseRoute

from config.celeryconfig import INTAKE_QUEUE
from config.settings import Settings
from config.told import tell_settings
from domain.demand import demand_of
from domain.why.patience import Pace
from workers.bootstrap import (
    Runtime,
    build_runtime,
    check_accounts,
    liveness,
    prepare_embedded,
    secret_box,
    service_manager,
    warn_of_plain_http,
)
from workers.bootstrap import metrics as declared
from workers.coordination.asked import read_asked
from workers.coordination.breaker import read_breakers, reset_breakers
from workers.coordination.connections import ONE_TRY, open_redis
from workers.engine.memory import keep_what_is_loaded
from workers.http.address import AddressGuard
from workers.http.open_files import webhook_connections
from workers.intake.desk import Desk
from workers.store.database import UNAVAILABLE
from workers.store.forged import keep_forged
from workers.store.people import has_users
from workers.store.processes import start_heartbeat
from workers.store.reads.why.late import Overview, read_overview
from workers.store.reads.why.order import Around
from workers.store.release import require_release
from workers.telemetry.rows import RowReader
from workers.transport import install
from workers.web.api.endpoints import Webhooks
from workers.web.api.jobs import JobRunner
from workers.web.api.routes import build_api
from workers.web.application import Surroundings, build_application
from workers.web.callback_address import callback_place, callback_url
from workers.web.callbacks import CallbackDesk
from workers.web.console.client import Client
from workers.web.console.entrance import Entrance, IssuersWord
from workers.web.console.gate import CLOSED, Doors, SessionGate
from workers.web.console.reach import Broker, Reach
from workers.web.console.routes import build_console
from workers.web.forged import ForgedSample
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.server import answers, listen, serve
from workers.web.shelf import Shelf
from workers.web.threads import CONNECTIONS, STORE_THREADS, StoreThreads

log = structlog.get_logger()

#: The loop that serves requests turns within milliseconds, and on a busy machine within a second.
LOOP_ANSWERS_SECONDS = 5.0


@dataclass(slots=True)
class Process:
    """What the process is made of, added part by part."""

    settings: Settings
    runtime: Runtime
    redis: Redis
    threads: StoreThreads
    metrics: Metrics
    routes: list[BaseRoute] = field(default_factory=list)
    on_start: list[Callable[[], object]] = field(default_factory=list)  #: called on the loop, once requests are taken
    on_stop: list[Callable[[], object]] = field(default_factory=list)  #: called when the stop begins
    on_end: list[Callable[[], object]] = field(default_factory=list)  #: in reverse, when the last request is over
    stopping: threading.Event = field(default_factory=threading.Event)
    jobs: JobRunner | None = None  #: once its thread has begun

    def __post_init__(self) -> None:
        connections = self.runtime.store.database.connections
        if connections < CONNECTIONS:
            raise ValueError(f"{CONNECTIONS} threads use the store, which has {connections} connections")

    def start(self, name: str, run: Callable[..., object], *arguments: object) -> None:
        """A thread that runs as long as the process. It uses the store, so STORE_THREADS must count it."""
        if STORE_THREADS.get(name) != 1:
            raise ValueError(f"the store has no connection for the thread {name!r}: name it in STORE_THREADS")
        threading.Thread(target=run, args=(*arguments, self.stopping), name=name, daemon=True).start()

    def end(self) -> None:
        """Close everything."""
        for close in reversed(self.on_end):
            close()


def run(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until it is told to stop; ``tell`` gets the address. Raises CannotListen, SettingsError, EmbeddedError."""
    check_accounts(settings)
    warn_of_plain_http(settings)
    service_manager().watch(liveness().stuck)
    bound = listen(settings.web_host, settings.web_port)
    prepare_embedded(settings)
    runtime, redis = build_runtime(settings, CONNECTIONS), open_redis(settings.redis_url, ONE_TRY)
    process = Process(settings, runtime, redis, StoreThreads(), Metrics("", declared()))
    process.metrics.reader = _reader(process)
    process.on_end += [process.threads.close, redis.close, runtime.store.close, runtime.traces.close]
    if "callbacks" in settings.web_serve:
        _add_callbacks(process)
    if "api" in settings.web_serve:
        _add_api(process)
    if "console" in settings.web_serve:
        _add_console(process)
    start_heartbeat(runtime.store.database, ["web"], settings.accounts, process.stopping)
    process.on_end.append(process.stopping.set)
    surroundings = Surroundings(
        settings.trusted_proxies, settings.web_allowed_hosts, settings.metrics_allow, settings.public_url
    )
    application = build_application(surroundings, _health(process), process.metrics, process.routes, process.end)
    process.on_stop.append(service_manager().stopping)
    serve(application, bound, partial(_started, process, tell), process.on_stop)


def _health(process: Process) -> Health:
    database, verdict = process.runtime.store.database, lambda: _overview(process).verdict.value
    return Health(process.threads, lambda: database.read(require_release), process.redis.ping, verdict)


def _started(process: Process, tell: Callable[[str], None], url: str) -> None:
    """Called on the loop that requests are served on, once they are."""
    for start in process.on_start:
        start()
    keep_what_is_loaded()  # nobody's answer waits a quarter of a second for a look through all that is loaded
    liveness().watch("requests", partial(answers, asyncio.get_running_loop(), LOOP_ANSWERS_SECONDS))
    service_manager().ready("web")
    tell(url)


def _reader(process: Process) -> RowReader:
    accounts, database = process.settings.accounts, process.runtime.store.database
    breakers, demand = partial(read_breakers, process.redis), demand_of(accounts, webhook_connections())
    return RowReader(database, process.metrics.declared.rows, accounts, partial(_pace, process), breakers, demand)


def _overview(process: Process) -> Overview:
    database = process.runtime.store.database
    return database.read(read_overview, database, _pace(process))


def _pace(process: Process) -> Pace:
    accounts = process.settings.accounts
    return Pace(accounts, read_asked(process.redis, accounts))


def _add_callbacks(process: Process) -> None:
    from workers.app import app  # here, because importing it reads the settings

    install()  # the transport that loses nothing that a killed process had taken from the shelf
    runtime, metrics = process.runtime, process.metrics
    threads = StoreThreads(STORE_THREADS["callbacks"])
    shelf = Shelf(app)
    forged = ForgedSample(partial(keep_forged, runtime.store.database))
    keep = runtime.store.keep_callbacks
    desk = CallbackDesk(process.settings.accounts, runtime.providers, keep, shelf, threads, metrics, forged)
    process.routes += desk.routes()
    process.start("shelf", shelf.run, desk.take_from_shelf)
    process.start("forged", forged.run)
    process.on_end += [threads.close, forged.write_waiting, forged.wake, shelf.wake]


def _add_api(process: Process) -> None:
    settings, runtime = process.settings, process.runtime
    desk = Desk(runtime.store, settings.accounts, runtime.providers, tracer=runtime.traces.tracer)
    webhooks = _webhooks(process)
    served = build_api(runtime.store, desk, process.threads, process.metrics, webhooks, _around(process))
    process.routes += served.routes
    process.on_stop.append(served.on_stop)
    _start_jobs(process, served.jobs)


def _webhooks(process: Process) -> Webhooks:
    settings = process.settings

    def reset(endpoint_id: str) -> None:
        with suppress(RedisError, OSError):  # without Redis there is no breaker that holds back
            reset_breakers(process.redis, [endpoint_id])

    return Webhooks(AddressGuard(settings.webhook_allow), cache(partial(secret_box, settings)), reset)


def _start_jobs(process: Process, jobs: JobRunner) -> JobRunner:
    """Jobs that were asked for here are carried out here, and those that another process left."""
    process.start("replays", jobs.run)
    process.on_end.append(jobs.wake)
    process.jobs = jobs
    return jobs


def _reach(process: Process) -> Reach:
    from workers.app import app  # not at the top: importing it reads the settings

    jobs = process.jobs or _start_jobs(process, JobRunner(process.runtime.store))
    broker = Broker(app, app.amqp.queues[INTAKE_QUEUE])
    return Reach(_webhooks(process), jobs.wake, broker.open)


def _add_console(process: Process) -> None:
    settings, store = process.settings, process.runtime.store
    threads = StoreThreads(STORE_THREADS["console"])  # of its own: people hold up neither orders nor callbacks
    word = _issuers_word(settings)
    issuer = None if word is None else word.client.host
    doors = Doors(is_public=settings.is_public, issuer=issuer, takes_links=settings.embedded)
    gate, entrance = SessionGate(store, threads, doors), Entrance(doors, word)
    installation = urlsplit(settings.public_url or "").hostname or ""
    overview = partial(_overview, process)
    served = build_console(
        store,
        threads,
        settings.accounts,
        gate,
        overview,
        installation,
        _around(process),
        _reach(process),
        entrance.routes,
        tell_settings(settings),
    )
    process.routes += served.routes
    process.on_start.append(served.figures.start)
    process.on_stop += [served.figures.stop, served.watching.channels.end]
    process.on_end += [threads.close, entrance.close]
    _tell_if_closed(process, doors)


def _issuers_word(settings: Settings) -> IssuersWord | None:
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    client = Client(
        settings.oidc_issuer,
        settings.oidc_client_id,
        None if secret is None else secret.get_secret_value(),
        settings.oidc_roles_claim,
    )
    return IssuersWord(client, cache(partial(secret_box, settings)), settings.public_url)


def _tell_if_closed(process: Process, doors: Doors) -> None:
    """Once, at the start; what each request is answered is looked at then."""
    if not doors.is_public or doors.issuer is not None:
        return
    with suppress(*UNAVAILABLE):
        if not process.runtime.store.database.read(has_users):
            log.warning("console.closed", reason=CLOSED)


def _around(process: Process) -> Around:
    settings = process.settings
    place = partial(_callback_place, settings.public_url)
    return Around(settings.accounts, place, partial(_breakers, process.redis))


def _callback_place(public_url: str | None, account: str) -> str:
    return callback_place(None if public_url is None else callback_url(public_url, account), account)


def _breakers(redis: Redis, endpoints: Sequence[str]) -> Mapping[str, str]:
    """The breakers' states; none where Redis does not answer."""
    if not endpoints:
        return {}
    try:
        return read_breakers(redis, endpoints)
    except (RedisError, OSError):
        return {}
