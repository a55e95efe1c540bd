"""The sandbox as one web application: both providers, the control address, the receivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from workers.embedded.sandbox.callback_control import CallbackControl, check_url
from workers.embedded.sandbox.control import Control, answering
from workers.embedded.sandbox.desk import Calls
from workers.embedded.sandbox.invoices import Lifetime
from workers.embedded.sandbox.nebulox import Nebulox
from workers.embedded.sandbox.receiver import Receiver
from workers.embedded.sandbox.script import Script
from workers.embedded.sandbox.wire import MAX_BODY_BYTES
from workers.embedded.sandbox.zeroxhost import Zeroxhost

#: Seconds that calls held by a fault get when the sandbox is told to stop.
STOP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line sets. `seed` None: other ids, addresses and amounts on every start."""

    nebulox_key: str = "sandbox-nebulox-key"
    zeroxhost_key: str = "sandbox-zeroxhost-key"
    lifetime_seconds: int = 900
    seed: int | None = None
    receiver_secrets: list[str] = field(default_factory=list)
    callback_url: str | None = None


def build_application(options: Options) -> web.Application:
    """All routes over fresh, empty state. Raises InputError for a receiver secret or an address that can't be used."""
    random, calls = Random(options.seed), Calls()  # noqa: S311 - made-up ids, repeatable by their seed
    script = Script(random)
    lifetimes = {name: Lifetime(options.lifetime_seconds) for name in ("nebulox", "zeroxhost")}
    nebulox = Nebulox(options.nebulox_key, lifetimes["nebulox"], random, script, calls)
    zeroxhost = Zeroxhost(options.zeroxhost_key, lifetimes["zeroxhost"], random, script, calls)
    books = {"nebulox": nebulox.invoices, "zeroxhost": zeroxhost.invoices}
    nebulox.courier.url = None if options.callback_url is None else check_url(options.callback_url)
    control = Control(books, lifetimes, script, calls)
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.add_routes(nebulox.routes("/nebulox"))
    application.add_routes(zeroxhost.routes("/zeroxhost"))
    application.add_routes(control.routes("/control"))
    application.add_routes(CallbackControl(nebulox.courier, nebulox.invoices).routes("/control"))
    application.cleanup_ctx.append(nebulox.courier.run)
    application.add_routes(Receiver(options.receiver_secrets).routes("/receiver"))
    application.add_routes([web.get("/", answering(_greet))])
    return application


async def _greet(request: web.Request) -> object:
    origin = f"http://{request.host}"
    return {"sandbox": "ok", **{name: f"{origin}/{name}" for name in ("nebulox", "zeroxhost", "control", "receiver")}}


async def serve(
    application: web.Application, host: str, port: int, stop: asyncio.Event, tell: Callable[[str], None]
) -> None:
    """Listen until `stop` is set; `tell` gets the address once connections are taken. Raises OSError when it can't."""
    # A handler is cancelled when its client leaves: a withheld answer then ends, and the call is marked so.
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        bound = runner.addresses[0]
        tell(f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}")
        await stop.wait()
    finally:
        await runner.cleanup()
