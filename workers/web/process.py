"""The web process from its settings: what it is made of, and its run."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from config.settings import Settings
from workers.store.schema import require_schema
from workers.web.application import Surroundings, build_application
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.server import listen, serve
from workers.web.threads import StoreThreads
from workers.wiring import ONE_TRY, check_accounts, open_redis, open_store, prepare_embedded


def run(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until it is told to stop; ``tell`` gets the address. Raises CannotListen, SettingsError, EmbeddedError."""
    check_accounts(settings)
    bound = listen(settings.web_host, settings.web_port)
    prepare_embedded(settings)
    store, redis, threads = open_store(settings), open_redis(settings.redis_url, ONE_TRY), StoreThreads()

    def end() -> None:
        threads.close()
        redis.close()
        store.close()

    surroundings = Surroundings(
        settings.trusted_proxies, settings.web_allowed_hosts, settings.metrics_allow, settings.public_url
    )
    health = Health(threads, lambda: require_schema(store.database), redis.ping)
    serve(build_application(surroundings, health, Metrics(version("invoices")), [], end), bound, tell)
