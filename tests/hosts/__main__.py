"""`make scale HOSTS=4`: orders a second with one host, two, four; what a host that comes or goes costs; fairness.

Each host is a network namespace with an intake and a worker, every other one with web, over one PostgreSQL (behind
PgBouncer in transaction mode) and one Valkey. All share this machine's cores: with a provider that takes a second hosts
wait most of the time, so more hosts bring more until the cores are busy; with one that takes 100 ms the cores are the
limit from the first on. ONLY=rates, fairness or change is one of the three. Exit code 1: an order was lost, or made
twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from config.logging import configure_logging
from tests.bench.ground import ROOT
from tests.bench.results import commit
from tests.hosts.network import NoNetworkError, hub_name, inside, network
from tests.hosts.scenes import Scene, change, fairness, rates
from tests.hosts.servers import servers

_INSIDE = "INVOICES_HOSTS_KEY"


def main() -> int:
    """Make the network, then run inside of its hub."""
    options = _options()
    signal.signal(signal.SIGTERM, _end_as_by_interrupt)  # so that servers are stopped, folders and namespaces removed
    if _INSIDE in os.environ:
        return measure(os.environ[_INSIDE], options)
    key = str(os.getpid())
    try:
        with network(key, max(options.hosts, 2)):
            return _inside_hub(key)
    except NoNetworkError as error:
        print(error, file=sys.stderr)
        return 2


def numbers_up_to(most: int) -> list[int]:
    """1, 2, 4 and so on, and ``most`` itself."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _inside_hub(key: str) -> int:
    command = inside(hub_name(key), sys.executable, "-m", "tests.hosts", *sys.argv[1:])
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {_INSIDE: key})
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--hosts", type=int, default=4, help="the most; 1, 2, 4 … up to it are tried (default 4)")
    parser.add_argument("--orders", type=int, default=1500, help="a host, of each rate (default 1500)")
    parser.add_argument("--many", type=int, default=10_000, help="of one account before another's one (default 10,000)")
    parser.add_argument("--only", choices=("rates", "fairness", "change"), help="one of the three scenes")
    parser.add_argument("--delays", type=int, nargs="+", default=[1000, 100], help="the provider's, in ms (1000 100)")
    parser.add_argument("--direct", action="store_true", help="without PgBouncer")
    return parser.parse_args()


def measure(key: str, options: argparse.Namespace) -> int:
    """All scenes."""
    console = Console(width=None if sys.stdout.isatty() else 180)
    with tempfile.TemporaryDirectory(prefix="invoices-hosts-") as name, (Path(name) / "log").open("w") as log:
        configure_logging("json", "warning", log)
        with servers() as them:
            scene = Scene(key, them, Path(name), options.orders, options.direct)
            console.print(f"commit {commit()}; PostgreSQL {'directly' if options.direct else 'through PgBouncer'}")
            if options.only in (None, "rates"):
                console.print(rates(scene, numbers_up_to(options.hosts), options.delays))
            if options.only in (None, "fairness"):
                console.print(fairness(scene, options.many, options.hosts))
            return _change(scene, console) if options.only in (None, "change") else 0


def _change(scene: Scene, console: Console) -> int:
    found = change(scene)
    console.print(str(found))
    return 1 if found.lost or found.twice else 0


def _end_as_by_interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
