"""The Redis servers: whether each answers, takes writes, has room, and keeps what it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from workers.cli.doctor.finding import Finding, told

if TYPE_CHECKING:
    import redis

    from config.settings import Settings

TIMEOUT_SECONDS = 3.0
#: Written to see whether writes are taken; it expires by itself.
PROBE_KEY = "invoices:doctor"
PROBE_MILLISECONDS = 5000
#: Shares of maxmemory: wrong above the first, a note above the second. When all is used every write is refused.
FULL, NEARLY_FULL = 0.95, 0.8
CLOCK_LIMIT_SECONDS = 2.0

#: The first word of a server's refusal of a write, and what to do about it.
REFUSALS = {
    "READONLY": "it is a replica: name the master, or let sentinels name it",
    "OOM": "its memory is full: raise maxmemory, or find what fills it",
    "MISCONF": "it can't save to its disk: look at its log and at the disk's room",
    "NOREPLICAS": "too few replicas follow it: bring them back, or lower min-replicas-to-write",
    "LOADING": "it is still reading its data: wait",
    "MASTERDOWN": "it is a replica without a master: look at the master",
    "CLUSTERDOWN": "its cluster is down",
    "NOPERM": "its user may not write: look at its ACL",
    "NOAUTH": "it wants a password: look at the address",
    "WRONGPASS": "it refuses the password: look at the address",
}


def check_redis(config: Settings) -> Iterator[Finding]:
    """The server of doorbells, rates, breakers and the stream; and the broker where that is another Redis."""
    from config.urls import redact_url, redis_url_of

    servers = {config.redis_url: "redis"}
    broker = redis_url_of(config.broker_url)
    if broker is not None and broker != config.redis_url:
        servers[broker] = "broker"
    for url, check in servers.items():
        place = redact_url(url)
        if config.embedded_broker and url.startswith("unix:") and not embedded_runs(config):
            detail = f"the embedded Valkey at {place} is not running"
            yield Finding(check, "wrong", detail, "not_running", command="invoices up")
            continue
        yield from _check_server(check, url, place)


def embedded_runs(config: Settings) -> bool:
    """Whether the home's Valkey is running."""
    from workers.embedded.valkey import is_running

    return is_running(config.home)


def open_doctor_redis(url: str) -> redis.Redis:
    """A client that gives up soon and never tries twice."""
    from workers.coordination.connections import ONE_TRY, open_redis

    return open_redis(url, {**ONE_TRY, "socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS})


def _check_server(check: str, url: str, place: str) -> Iterator[Finding]:
    from redis.exceptions import RedisError

    try:
        with open_doctor_redis(url) as client:
            began = time.time()
            seconds, microseconds = client.time()
            off = seconds + microseconds / 1e6 - (began + time.time()) / 2
            refused = _try_to_write(client)
            info = _read_info(client)
    except (RedisError, OSError) as error:
        yield Finding(check, "wrong", f"{place} {_meaning(error)}", "unreachable")
        return
    if refused:
        yield Finding(check, "wrong", f"{place} takes no writes: {refused}", "refuses_writes")
    found = list(_tell_memory(check, place, info))
    if abs(off) > CLOCK_LIMIT_SECONDS:
        detail = f"{place}: its clock is {off:+.1f} s from this host's, synchronise the clocks (NTP)"
        found.append(Finding(check, "note", detail, "clock_skew"))
    yield from found
    if not refused and not any(finding.state == "wrong" for finding in found):
        version = info.get("valkey_version") or info.get("redis_version") or "unknown (its user may not ask)"
        yield Finding(check, "ok", f"{place}, version {version}, takes writes")


def _try_to_write(client: redis.Redis) -> str | None:
    """Why it takes no write; None: it takes them."""
    from redis.exceptions import RedisError

    try:
        client.set(PROBE_KEY, "1", px=PROBE_MILLISECONDS)
    except RedisError as error:
        return _meaning(error)
    return None


def _read_info(client: redis.Redis) -> Mapping[str, Any]:
    """Redis's INFO; empty where its user may not ask."""
    from redis.exceptions import ResponseError

    try:
        return cast("Mapping[str, Any]", client.info())
    except ResponseError:
        return {}


def _meaning(error: BaseException) -> str:
    """A server's refusal and what to do about it. redis-py strips the first word of some."""
    words = told(error)
    name = type(error).__name__
    known = {"ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "BusyLoadingError": "LOADING"}
    known |= {"NoPermissionError": "NOPERM", "AuthenticationError": "WRONGPASS", "MasterDownError": "MASTERDOWN"}
    first = known.get(name, words.split(" ", 1)[0].rstrip(":"))
    advice = REFUSALS.get(first)
    if advice is None:
        return f"can't be reached: {words}"
    return f"{advice} ({words if words.startswith(first) else f'{first} {words}'})"


def _tell_memory(check: str, place: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        detail = f"{place}: maxmemory-policy is {policy} and must be noeviction, an evicted key is a lost order"
        yield Finding(check, "wrong", detail, "eviction", command="CONFIG SET maxmemory-policy noeviction")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > most * NEARLY_FULL:
        detail = f"{place}: {100 * used / most:.0f} % of maxmemory are used; at 100 % it takes no writes"
        yield Finding(check, "wrong" if used > most * FULL else "note", detail, "memory", count=used)
    for field, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(field, "ok") != "ok":
            detail = f"{place}: its last write of the {what} failed: look at its log and at its disk's room"
            yield Finding(check, "wrong", detail, "not_saved")
