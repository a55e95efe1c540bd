"""What a Celery process does when it starts and stops: the embedded default, the pump, the drain."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from celery.signals import beat_init, celeryd_init, worker_ready, worker_shutdown, worker_shutting_down

from config.celeryconfig import INTAKE_QUEUE, WORK_QUEUE
from config.settings import Settings, SettingsError, load_settings
from workers.bootstrap import (
    check_accounts,
    liveness,
    prepare_embedded,
    running,
    serve_metrics,
    service_manager,
    show_alive,
    start_pump,
    stop_metrics,
    tell_role,
    warn_of_plain_http,
)
from workers.embedded.errors import EmbeddedError
from workers.engine.memory import keep_what_is_loaded
from workers.http.open_files import raise_limit
from workers.queue.fault_points import VARIABLE, arm
from workers.store.database import UNAVAILABLE, Database
from workers.store.release import SchemaTooOld, require_release
from workers.store.session import UnfitDatabase
from workers.telemetry.server import PortTaken

if TYPE_CHECKING:
    from celery.worker import WorkController

log = structlog.get_logger()

#: For how long work under way may go on after SIGTERM; below worker_soft_shutdown_timeout (30 s).
DRAIN_SECONDS = 25.0

#: How often setting the session's priority is tried, and the wait between two tries: several processes start at once.
GROUP_TRIES, GROUP_WAIT_SECONDS = 10, 0.11

#: A process has a role for each of these queues that it reads.
ROLES = {"intake": INTAKE_QUEUE, "worker": WORK_QUEUE}


@celeryd_init.connect(weak=False)
def prepare_worker(options: Mapping[str, Any], **_: object) -> None:
    """Before anything connects: start what is embedded, and refuse the database of an earlier release.

    The intake lowers its priority further than other workers: on a busy machine orders then wait in the broker, where
    nothing has begun, and not half done.
    """
    raise_limit()
    prepare()
    settings = load_settings()
    if WORK_QUEUE not in (options.get("queues") or (WORK_QUEUE,)):
        step_back(min(2 * settings.nice, 19))
    try:
        _check_schema(settings)
    except (SchemaTooOld, UnfitDatabase) as error:
        raise SystemExit(f"invoices: {error}") from None
    _serve_metrics()


@beat_init.connect(weak=False)
def prepare_beat(**_: object) -> None:
    """Beat has only this signal: it is ready when it starts."""
    prepare()
    _serve_metrics()
    atexit.register(service_manager().stopping)
    tell_role("beat")


def _serve_metrics() -> None:
    try:
        serve_metrics(load_settings())
    except PortTaken as error:
        raise SystemExit(f"invoices: {error}") from None


def prepare(**_: object) -> None:
    """Check the accounts, start what is embedded, lower the priority."""
    settings = load_settings()
    service_manager().watch(liveness().stuck)
    arm(os.environ.get(VARIABLE, ""))
    try:
        check_accounts(settings)
        warn_of_plain_http(settings)
        prepare_embedded(settings)
    except (SettingsError, EmbeddedError) as error:
        raise SystemExit(f"invoices: {error}") from None
    step_back(settings.nice)  # last: what is embedded keeps its priority, the web process needs it too


def step_back(nice: int) -> None:
    """Lower this process's priority, in favour of the web process, which answers providers and shops.

    It counts for all threads that start afterwards. A process that already has a lower priority keeps it. Linux weighs
    sessions against each other first, and processes only within one: where this process leads its session, as under
    `invoices up` and systemd, the session's priority is lowered too. With ``SCHED_BATCH`` a thread that wakes up does
    not interrupt a web process or a database that is at work.
    """
    os.nice(max(0, nice - os.nice(0)))
    if nice and hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        _lower_session(Path("/proc/self/autogroup"), nice)


def _lower_session(group: Path, nice: int) -> None:
    """The kernel takes one change in a tenth of a second, whoever makes it."""
    for _ in range(GROUP_TRIES):
        try:
            before = group.read_text().split()[-1:]  # "/autogroup-12 nice 0"; empty where sessions are not weighed
            if before and int(before[0]) < nice:
                group.write_text(str(nice))
        except BlockingIOError:
            time.sleep(GROUP_WAIT_SECONDS)
        except OSError as error:
            log.debug("process.session_not_lowered", error=type(error).__name__)
            return
        else:
            return


def _check_schema(settings: Settings) -> None:
    """Raise SchemaTooOld for a database of an earlier release, UnfitDatabase for one that can't be used as it is.

    A database that is away is no error: it is waited for later.
    """
    database = Database(settings.database_url, pool_size=1)
    try:
        standing = database.read(require_release)
    except UNAVAILABLE as error:
        reason = getattr(error, "orig", None)
        if isinstance(reason, UnfitDatabase):
            raise reason from None
        log.warning("store.unavailable", error=type(error).__name__, consequence="its revision was not looked at")
        return
    finally:
        database.close()
    if standing.relation == "newer":
        log.info("schema.newer", revision=standing.current, known=standing.head, consequence="the next release's")


@worker_ready.connect(weak=False)
def start(sender: WorkController, **_: object) -> None:
    """Give a worker that reads the work queue its pump; an intake process has none."""
    keep_what_is_loaded()
    read = sender.app.amqp.queues.consume_from
    show_alive(*(role for role, queue in ROLES.items() if queue in read))
    if WORK_QUEUE in read:
        start_pump()
        tell_role("worker")
    else:
        log.info("intake.started")
        tell_role("intake")
    service_manager().ready("worker" if WORK_QUEUE in read else "intake")


@worker_shutting_down.connect(weak=False)
def begin_to_stop(**_: object) -> None:
    """Called inside the signal handler, which must not wait: the pump drains in a thread of its own."""
    service_manager().stopping()
    current = running()
    if current is None:
        return
    current.stopping.set()
    if current.pump is not None:
        threading.Thread(target=current.pump.stop, args=(DRAIN_SECONDS,), name="drain", daemon=True).start()


@worker_shutdown.connect(weak=False)
def wait_for_the_end(**_: object) -> None:
    """The process ends after this: everything under way is committed or given back first."""
    current = running()
    stop_metrics()
    if current is None:
        return
    current.stopping.set()
    if current.pump is not None:
        current.pump.stop(DRAIN_SECONDS)
    current.traces.close()
    current.store.close()
