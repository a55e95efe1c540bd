"""Redis, where bells, rates, breakers and the stream of events are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workers.cli.doctor.broker import TIMEOUT_SECONDS, embedded_runs
from workers.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from config.settings import Settings


def check_redis(config: Settings) -> Iterator[Finding]:
    """Whether it answers, and keeps what it is given."""
    from config.urls import redact_url

    place = redact_url(config.redis_url)
    if config.embedded_broker and config.redis_url.startswith("unix:") and not embedded_runs(config):
        detail = f"{place} does not run: start it by `invoices up`"
        yield Finding("redis", "wrong", detail, "not_running", command="invoices up")
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
