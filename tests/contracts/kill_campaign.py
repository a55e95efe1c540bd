"""A queue of messages, its worker killed again and again; what came of it is kept in deploy/chaos/transport.json.

The same for our transport and, as the control, for kombu's own. The instants of the kills are drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from tests.contracts.crash_runs import Run, run_kills
from tests.engines import run_valkey

#: Seconds: so that the kills are spread over the messages, and what is left is worked off on a slow machine too.
LONGEST_LIFE, DRAIN_SECONDS = 1.0, 1800.0
RECORD = Path(__file__).resolve().parents[2] / "deploy" / "chaos" / "transport.json"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.kill_campaign", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pool", choices=["threads", "solo"], default="threads")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--stock", action="store_true", help="kombu's own transport instead of ours")
    given = parser.parse_args()
    with run_valkey() as server:
        run = Run(server.broker_url, database=0, ours=not given.stock, pool=given.pool)
        figures = run_kills(
            run, given.messages, given.kills, given.seed, longest_life=LONGEST_LIFE, drain_seconds=DRAIN_SECONDS
        )
        engine = run.client.info("server")
    name = f"{'kombu' if given.stock else 'ours'}, {given.pool}"
    found = {
        "command": f"python -m tests.contracts.kill_campaign{' --stock' if given.stock else ''} --pool {given.pool}"
        f" --messages {given.messages} --kills {given.kills} --seed {given.seed}",
        "server": f"{engine.get('server_name', 'redis')} {engine.get('valkey_version', engine['redis_version'])}",
        "versions": {package: version(package) for package in ("celery", "kombu", "redis")},
        "messages": figures.messages,
        "kills": figures.kills,
        "lost": figures.lost,
        "handled_more_than_once": figures.repeated,
        "left_in_the_broker": list(figures.left),
        "seconds": round(figures.seconds),
    }
    kept = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps({**kept, name: found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
