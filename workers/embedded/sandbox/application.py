"""The sandbox as one web application: the providers, the control address, the receivers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aiohttp import web

from workers.embedded.sandbox.callback_control import CallbackControl
from workers.embedded.sandbox.control import Control, answering
from workers.embedded.sandbox.desk import Calls
from workers.embedded.sandbox.invoices import Lifetime
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.embedded.sandbox.receiver import Receiver
from workers.embedded.sandbox.script import Script
from workers.embedded.sandbox.stand_in import Given, StandIn
from workers.embedded.sandbox.state import StateFile
from workers.embedded.sandbox.visitors import guard_visitors
from workers.embedded.sandbox.wire import MAX_BODY_BYTES

#: Seconds that calls held by a fault have left when the sandbox is told to stop.
STOP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line sets. `seed` None: new ids, addresses and amounts on every start."""

    keys: Mapping[str, str] = field(default_factory=dict)  #: by provider; others have ``sandbox-NAME-key``
    lifetime_seconds: int = 900
    seed: int | None = None
    receiver_secrets: list[str] = field(default_factory=list)
    allowed_hosts: Sequence[str] = ()  #: host names that the control address answers to, besides localhost
    state: Path | None = None  #: a file that keeps its state over restarts
    callback_urls: Sequence[str] = ()  #: ``PROVIDER=URL``, or a URL alone where only one provider calls back


def build_application(options: Options, kinds: Sequence[type[StandIn]] = STAND_INS) -> web.Application:
    """The whole application. Raises InputError for a receiver secret, a callback URL or a state file that can't be
    used."""
    random, calls = Random(options.seed), Calls()  # noqa: S311 - made-up ids, repeatable by their seed
    script = Script(random)
    stand_ins: dict[str, StandIn] = {}
    for kind in kinds:
        key = options.keys.get(kind.name, kind.sandbox_key())
        stand_ins[kind.name] = kind(Given(key, Lifetime(options.lifetime_seconds), random, script, calls))
    state = None if options.state is None else StateFile(options.state)
    if state is not None:
        state.resume(stand_ins, script)
    callbacks = CallbackControl(stand_ins)
    for given in options.callback_urls:
        callbacks.set_url(given)
    visitors = guard_visitors(frozenset(name.lower() for name in options.allowed_hosts))
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[visitors])
    for name, stand_in in stand_ins.items():
        application.add_routes(stand_in.routes(f"/{name}"))
        if stand_in.courier is not None:
            application.cleanup_ctx.append(stand_in.courier.run)
    application.add_routes(Control(stand_ins, script, calls, state).routes("/control"))
    application.add_routes(callbacks.routes("/control"))
    application.add_routes(Receiver(options.receiver_secrets).routes("/receiver"))
    if state is not None:
        application.on_cleanup.append(_closing(state))
    application.add_routes([web.get("/", answering(_greet((*stand_ins, "control", "receiver"))))])
    return application


def _closing(state: StateFile) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_: web.Application) -> None:
        state.close()

    return close


def _greet(names: Sequence[str]) -> Callable[[web.Request], Awaitable[object]]:
    async def greet(request: web.Request) -> object:
        return {"sandbox": "ok", **{name: f"http://{request.host}/{name}" for name in names}}

    return greet


async def serve(
    application: web.Application, host: str, port: int, stop: asyncio.Event, tell: Callable[[str], None]
) -> None:
    """Listen until `stop` is set; `tell` gets the address once connections are taken. Raises OSError when it can't."""
    # Handlers are cancelled when their client leaves: that ends a withheld answer and marks the call.
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
