"""`python -m workers.embedded.sandbox`: serve the stand-ins until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from workers.embedded.sandbox.application import Options, build_application, serve
from workers.embedded.sandbox.control import MAX_LIFETIME_SECONDS
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.embedded.sandbox.wire import InputError


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The parsed arguments. Ends the process with a message for bad ones."""
    parser = _build_parser()
    parsed = parser.parse_args(arguments)
    if not 0 <= parsed.port <= 65535:
        parser.error("argument --port: must be from 0 to 65535")
    if not 1 <= parsed.lifetime_seconds <= MAX_LIFETIME_SECONDS:
        parser.error(f"argument --lifetime-seconds: must be from 1 to {MAX_LIFETIME_SECONDS}")
    if parsed.state is not None and parsed.seed is not None:
        parser.error("argument --seed: would give the same ids anew, which --state has already")
    return parsed


def _build_parser() -> argparse.ArgumentParser:
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m workers.embedded.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8410, help="0 picks a free one (default: %(default)s)")
    for kind in STAND_INS:
        parser.add_argument(f"--{kind.name}-key", default=kind.sandbox_key(), help="default: %(default)s")
    parser.add_argument(
        "--lifetime-seconds", type=int, default=defaults.lifetime_seconds, help="of an invoice (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="the same ids, amounts and chances on every start")
    repeatable: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--receiver-secret", help="whsec_…, valid at every receiver; repeatable", **repeatable)
    callback_help = "where a provider's callbacks are posted (default: nowhere); repeatable"
    parser.add_argument("--callback-url", metavar="[PROVIDER=]URL", help=callback_help, **repeatable)
    host_help = "a name by which the control address may be called, besides its address and localhost; repeatable"
    parser.add_argument("--allow-host", metavar="NAME", help=host_help, **repeatable)
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep invoices, rules and what has fired there, and go on from it"
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    return parser


def main() -> int:
    arguments = read_arguments()
    options = Options(
        keys={kind.name: getattr(arguments, f"{kind.name}_key") for kind in STAND_INS},
        lifetime_seconds=arguments.lifetime_seconds,
        seed=arguments.seed,
        receiver_secrets=arguments.receiver_secret,
        allowed_hosts=arguments.allow_host,
        callback_urls=arguments.callback_url,
        state=arguments.state,
    )
    try:
        asyncio.run(run(arguments, options))
    except InputError as problem:
        options_of = {"url": "--callback-url", "provider": "--callback-url", "state": "--state"}
        option = options_of.get(str(problem).partition(":")[0], "--receiver-secret")
        print(f"argument {option}: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"can't listen on {arguments.host}:{arguments.port}: {problem.strerror or problem}", file=sys.stderr)
        return 1
    return 0


async def run(arguments: argparse.Namespace, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    await serve(build_application(options), arguments.host, arguments.port, stop, _tell)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The process that started us holds the other end of the pipe, which closes when it dies, however that happens."""
    # Not sys.stdin: a daemon thread in a buffered read can abort the interpreter's shutdown.
    while os.read(0, 4096):
        pass
    if not loop.is_closed():
        loop.call_soon_threadsafe(stop.set)


def _tell(address: str) -> None:
    print(json.dumps({"listening": address}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
