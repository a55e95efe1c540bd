"""What `invoices doctor` looks at; each check ends by itself within seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from workers.cli.context import open_database
from workers.cli.errors import CommandFailed, explain

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account
    from workers.store.database import Database

#: A clock further off than this makes signatures look stale and expiries early or late.
CLOCK_LIMIT_SECONDS = 2.0
#: The sweep takes up what is due each second; overdue for so long, nobody works.
OVERDUE_LIMIT_SECONDS = 60.0
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``note``: worth knowing, and no failure."""

    check: str
    state: Literal["ok", "wrong", "note"]
    detail: str


def run_checks() -> Iterator[Finding]:
    """Every check, each finding as soon as it is known."""
    from config.settings import SettingsError, load_settings

    try:
        config = load_settings()
        config.secret_keys()
    except SettingsError as error:
        yield Finding("settings", "wrong", str(error))
        return
    yield Finding("settings", "ok", f"home {config.home}, accounts {', '.join(sorted(config.accounts))}")
    yield from _guarded("database", lambda: _check_database(config))
    yield from _guarded("broker", lambda: _check_broker(config))
    yield from _guarded("redis", lambda: _check_redis(config))
    yield from _guarded("accounts", lambda: _check_profiles(config))
    for name, account in sorted(config.accounts.items()):
        yield from _guarded(f"account {name}", partial(_check_account, account))
    yield from _check_workers(config)


def _guarded(check: str, run: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from run()
    except CommandFailed as error:
        yield Finding(check, "wrong", str(error))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one part, the others are looked at
        yield Finding(check, "wrong", explain(error))


def _check_database(config: Settings) -> Iterator[Finding]:
    from sqlalchemy.engine import make_url

    from workers.store.schema import SchemaTooOld, require_schema

    with open_database(config) as database:
        place = make_url(config.database_url).render_as_string(hide_password=True)
        try:
            standing = require_schema(database)
        except SchemaTooOld as error:
            yield Finding("database", "wrong", f"{place}: {error}")
            return
        newer = f", newer than this release's {standing.head}" if standing.relation == "newer" else ""
        yield Finding("database", "ok", f"{place} at revision {standing.current}{newer}")
        yield _check_clock(database)
        yield from _check_agenda(database)
        yield from _check_credentials(database)
        yield _check_secrets(database, config)


def _check_profiles(config: Settings) -> Iterator[Finding]:
    from config.settings import SettingsError
    from workers.wiring import check_accounts

    try:
        check_accounts(config)
    except SettingsError as error:
        yield Finding("accounts", "wrong", str(error))


def _check_credentials(database: Database) -> Iterator[Finding]:
    """Orders that wait because their account's key is refused: the workers' own probes say so."""
    from workers.store.queries import refused_accounts

    with database.reading() as connection:
        for account, orders, since in refused_accounts(connection):
            waited = (database.now(connection) - since).total_seconds()
            detail = f"its credentials are refused, {orders} orders wait, the first for {waited:.0f} s: look at api_key"
            yield Finding(f"account {account}", "wrong", detail)


def _check_clock(database: Database) -> Finding:
    with database.reading() as connection:
        began = time.monotonic()
        theirs = database.now(connection)
        middle = (time.monotonic() - began) / 2
    off = (datetime.now(UTC) - theirs).total_seconds() - middle
    state: Literal["ok", "wrong"] = "ok" if abs(off) <= CLOCK_LIMIT_SECONDS else "wrong"
    advice = "" if state == "ok" else f": more than {CLOCK_LIMIT_SECONDS:g} s, synchronise the clocks (NTP)"
    return Finding("clock", state, f"this host is {off:+.3f} s from the database{advice}")


def _check_agenda(database: Database) -> Iterator[Finding]:
    from workers.store.queries import agenda_health, count_rejected

    with database.reading() as connection:
        now = database.now(connection)
        lanes = agenda_health(connection, now)
        rejected = count_rejected(connection)
    parked = [f"{lane.stage}/{lane.lane}: {lane.parked}" for lane in lanes if lane.parked]
    late = [
        f"{lane.stage}/{lane.lane}: {lane.overdue} since {(now - lane.oldest_due_at).total_seconds():.0f} s"
        for lane in lanes
        if lane.oldest_due_at and (now - lane.oldest_due_at).total_seconds() > OVERDUE_LIMIT_SECONDS
    ]
    rows = sum(lane.rows for lane in lanes)
    if parked:
        yield Finding("agenda", "wrong", f"parked rows ({', '.join(parked)}): see `invoices redrive parked`")
    if late:
        yield Finding("agenda", "wrong", f"overdue ({', '.join(late)}): is a worker running?")
    if not parked and not late:
        yield Finding("agenda", "ok", f"{rows} rows, none parked, none overdue")
    if rejected:
        yield Finding("messages", "note", f"{rejected} were turned away: see `invoices rejected`")


def _check_secrets(database: Database, config: Settings) -> Finding:
    from workers.outbound.secretbox import SecretBox
    from workers.store.endpoints import endpoints_for

    box = SecretBox([key.get_secret_value() for key in config.secret_keys()])
    with database.reading() as connection:
        found = endpoints_for(connection)
    for endpoint in found:
        for sealed in endpoint.sealed_secrets:
            box.open(sealed)  # raises SecretUnreadable, whose words say what to do
    disabled = [endpoint.id for endpoint in found if endpoint.disabled_at]
    if disabled:
        return Finding("endpoints", "note", f"{len(found)} of them, disabled: {', '.join(disabled)}")
    return Finding("endpoints", "ok", f"{len(found)} of them, their secrets open with INVOICES_SECRET_KEY")


def _check_broker(config: Settings) -> Iterator[Finding]:
    from kombu import Connection

    from config.celeryconfig import celery_settings
    from config.urls import redact_url

    place = redact_url(config.broker_url)
    if config.embedded_broker and not _embedded_runs(config):
        yield Finding(
            "broker", "wrong", f"the embedded Valkey of {config.home} does not run: start it by `invoices up`"
        )
        return
    celery = celery_settings(config)
    options = {"ssl": celery["broker_use_ssl"], "transport_options": celery["broker_transport_options"]}
    with Connection(celery["broker_url"], **options, connect_timeout=TIMEOUT_SECONDS) as connection:
        connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    yield Finding("broker", "ok", place)


def _embedded_runs(config: Settings) -> bool:
    from workers.embedded.valkey import is_running

    return is_running(config.home)


def _check_redis(config: Settings) -> Iterator[Finding]:
    from config.urls import redact_url

    place = redact_url(config.redis_url)
    if config.embedded_broker and config.redis_url.startswith("unix:") and not _embedded_runs(config):
        yield Finding("redis", "wrong", f"{place} does not run: start it by `invoices up`")
        return
    from workers.wiring import open_redis

    timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    with open_redis(config.redis_url, timeouts) as client:
        info: Any = client.info("server")
        policy: Any = client.info("memory")
    version = info.get("valkey_version") or info.get("redis_version")
    if policy.get("maxmemory_policy", "noeviction") != "noeviction":
        yield Finding("redis", "wrong", f"{place}: maxmemory-policy must be noeviction, an evicted key is a lost order")
        return
    yield Finding("redis", "ok", f"{place}, version {version}")


def _check_account(account: Account) -> Iterator[Finding]:
    """Connects (TCP, TLS) and asks for the base address, without credentials. Any HTTP answer will do."""
    import httpx

    check = f"account {account.name}"
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False, follow_redirects=False) as client:
            began = time.monotonic()
            with client.stream("GET", account.base_url) as response:
                millis = (time.monotonic() - began) * 1000
                said = f"{account.provider} at {account.base_url} answers ({response.status_code} in {millis:.0f} ms)"
    except (httpx.HTTPError, OSError) as error:
        place = f"{account.provider} at {account.base_url}"
        yield Finding(check, "wrong", f"{place} can't be reached: {str(error) or type(error).__name__}")
        return
    yield Finding(check, "ok", said)


def _check_workers(config: Settings) -> Iterator[Finding]:
    """Asks running workers to say that they are there; information only, they may run elsewhere or not yet."""
    with contextlib.suppress(Exception):
        if config.embedded_broker and not _embedded_runs(config):
            yield Finding("workers", "note", "none answers: start them by `invoices up`")
            return
        from celery import Celery

        from config.celeryconfig import celery_settings

        app = Celery(config_source=celery_settings(config), set_as_current=False)
        replies = app.control.ping(timeout=1.0)
        names = sorted(name for reply in replies for name in reply)
        yield Finding(
            "workers", "ok" if names else "note", ", ".join(names) or "none answers: start them by `invoices up`"
        )
        return
    yield Finding("workers", "note", "can't be asked while the broker is away")
