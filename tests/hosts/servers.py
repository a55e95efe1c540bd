"""What the hub runs: one PostgreSQL, one Valkey, the stand-in for provider and receiver."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis
from sqlalchemy.engine import make_url

from tests.bench.ground import SERVER, start_program
from tests.bench.usage import cpu_seconds
from tests.engines import run_postgres, run_valkey
from tests.hosts.network import HUB

POSTGRES_PORT, VALKEY_PORT = 5432, 6379


class Servers(NamedTuple):
    """Where they are."""

    plain_url: str  #: to PostgreSQL itself, by its socket
    folder: Path  #: PostgreSQL's
    redis: redis.Redis
    port: int  #: of the stand-in

    def ask(self, path: str, method: str = "GET") -> Any:
        """The stand-in's ledger."""
        request = urllib.request.Request(f"http://{HUB}:{self.port}/{path}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU so far."""
        postgres = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        valkey = int(self.redis.info("server")["process_id"])
        return {"PostgreSQL": cpu_seconds(postgres), "Valkey": cpu_seconds(valkey)}


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """All of them, on the hub's address."""
    changes = SERVER | {"listen_addresses": HUB, "port": str(POSTGRES_PORT), "max_connections": "500"}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(run_postgres(changes))
        folder = Path(str(make_url(url).query["host"]))
        _let_hosts_in(url, folder)
        valkey = stack.enter_context(run_valkey())
        client = stack.enter_context(redis.Redis.from_url(valkey.redis_url))
        for name, value in (("protected-mode", "no"), ("bind", HUB), ("port", str(VALKEY_PORT))):
            client.config_set(name, value)
        stand_in = start_program([sys.executable, "-m", "tests.bench.stand_in", HUB], {}, subprocess.PIPE)
        stack.callback(_end, stand_in)
        assert stand_in.stdout is not None
        yield Servers(url, folder, client, int(stand_in.stdout.readline()))


def _let_hosts_in(url: str, folder: Path) -> None:
    with (folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/16 trust\n")
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
