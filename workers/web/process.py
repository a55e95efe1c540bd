"""The web process from its settings: what it is made of, and its run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from starlette.routing import BaseRoute

from config.settings import Settings
from workers.bootstrap import ONE_TRY, build_runtime, check_accounts, open_redis, prepare_embedded, warn_of_plain_http
from workers.intake.orders import Desk
from workers.store.forged import keep_forged
from workers.store.schema import require_schema
from workers.transport import install
from workers.web.api.routes import build_api
from workers.web.application import Surroundings, build_application
from workers.web.callbacks import CallbackDesk
from workers.web.forged import ForgedSample
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.server import listen, serve
from workers.web.shelf import Shelf
from workers.web.threads import StoreThreads


def run(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve until it is told to stop; ``tell`` gets the address. Raises CannotListen, SettingsError, EmbeddedError."""
    check_accounts(settings)
    warn_of_plain_http(settings)
    bound = listen(settings.web_host, settings.web_port)
    prepare_embedded(settings)
    runtime = build_runtime(settings)
    store, redis = runtime.store, open_redis(settings.redis_url, ONE_TRY)
    threads, metrics = StoreThreads(), Metrics(version("invoices"))

    on_end: list[Callable[[], object]] = [threads.close, redis.close, store.close]

    def end() -> None:
        for close in reversed(on_end):
            close()

    surroundings = Surroundings(
        settings.trusted_proxies, settings.web_allowed_hosts, settings.metrics_allow, settings.public_url
    )
    health = Health(threads, lambda: require_schema(store.database), redis.ping)
    routes: list[BaseRoute] = []
    on_stop: list[Callable[[], None]] = []
    if "callbacks" in settings.web_serve:
        from workers.app import app  # not at the top: importing it reads the settings

        install()  # a killed process loses nothing of what it took from the shelf
        shelf = Shelf(app)
        forged = ForgedSample(partial(keep_forged, store.database))
        desk = CallbackDesk(settings.accounts, runtime.providers, store.keep_callbacks, shelf, threads, metrics, forged)
        routes += desk.routes()
        stopping = threading.Event()
        emptying = threading.Thread(target=shelf.run, args=(desk.take_from_shelf, stopping), name="shelf", daemon=True)
        sampling = threading.Thread(target=forged.run, args=(stopping,), name="forged", daemon=True)
        emptying.start()
        sampling.start()
        on_end += [forged.write_waiting, forged.wake, shelf.wake, stopping.set]
    if "api" in settings.web_serve:
        served = build_api(store, Desk(store, settings.accounts, runtime.providers), threads, metrics)
        routes += served.routes
        on_stop.append(served.on_stop)
    application = build_application(surroundings, health, metrics, routes, end)
    serve(application, bound, tell, on_stop)
