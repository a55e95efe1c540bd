"""A PgBouncer in front of a test's PostgreSQL, with the settings that `deploy/pgbouncer` documents."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from tests.engines import AS_SOMEBODY, MissingEngineError
from tests.servers import START_SECONDS, free_port, wait_until

KNOWN = "SELECT usename, passwd FROM pg_shadow WHERE usename = $1"
DOCUMENTED = Path(__file__).resolve().parents[1] / "deploy" / "pgbouncer"


@dataclass(frozen=True, slots=True)
class Pooler:
    """One that runs."""

    url: str  #: of the database, through it
    console: str  #: where it takes commands, as psql has it
    ini: Path  #: its settings, read again at its `RELOAD`
    pid: int


@contextlib.contextmanager
def run_pgbouncer(database_url: str, pool_size: int = 4, host: str = "127.0.0.1") -> Iterator[str]:
    """The database's URL through it."""
    with run_pooler(database_url, pool_size, host) as pooler:
        yield pooler.url


@contextlib.contextmanager
def run_pooler(
    database_url: str, pool_size: int = 4, host: str = "127.0.0.1", name: str | None = None
) -> Iterator[Pooler]:
    """In front of a database, which has another ``name`` here. ``pool_size``: fewer sessions than the processes want,
    so that they share."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise MissingEngineError("no PgBouncer: apt-get install pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="invoices-pool-") as place:
        folder = Path(place)
        (folder / "pgbouncer.ini").write_text(settings(database_url, folder, (host, port), pool_size, name))
        (folder / "users").write_text('"postgres" ""\n')
        folder.chmod(0o777)
        for file in folder.iterdir():
            file.chmod(0o644)
        command = [program, "-q", str(folder / "pgbouncer.ini")]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ, **AS_SOMEBODY
            )
        try:
            through = make_url(database_url).set(host=host, port=port, query={}, database=name)
            url = through.render_as_string(hide_password=False)
            wait_until(lambda: _answers(url, process, folder / "log"), "PgBouncer answers")
            console = f"host={host} port={port} user=postgres dbname=pgbouncer"
            yield Pooler(url, console, folder / "pgbouncer.ini", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_SECONDS)


def settings(database_url: str, folder: Path, listen: tuple[str, int], pool_size: int, name: str | None = None) -> str:
    """The documented file, with the test's server, address and pool, and without passwords: whom the server knows."""
    url = make_url(database_url)
    place = f"host={url.query.get('host') or url.host} port={url.port or 5432} dbname={url.database}"
    changed = {
        r"invoices = .*": f"{name or url.database} = {place}",
        r"listen_addr = .*": f"listen_addr = {listen[0]}",
        r"listen_port = .*": f"listen_port = {listen[1]}",
        r"default_pool_size = .*": f"default_pool_size = {pool_size}",
        r"auth_type = .*": "auth_type = trust",
        r"auth_file = .*": f"auth_file = {folder}/users",
    }
    text = (DOCUMENTED / "pgbouncer.ini").read_text()
    for line, other in changed.items():
        text, found = re.subn(f"(?m)^{line}$", other, text)
        assert found == 1, line
    return text + f"unix_socket_dir =\nauth_user = postgres\nauth_query = {KNOWN}\n"


def set_role(database_url: str) -> None:
    """What the page says to run as the role of the processes: its settings as defaults."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    statements = re.sub("(?m)^--.*$", "", (DOCUMENTED / "role.sql").read_text()).split(";")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, statements):
            connection.execute(statement.encode())


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, f"PgBouncer has ended: {log.read_text()[-500:]}"
    try:
        psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)).close()
    except psycopg.OperationalError:
        return False
    return True
