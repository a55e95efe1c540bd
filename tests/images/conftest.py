"""The image, and the compose file's containers beside a PostgreSQL and a Valkey of this test's own."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.acceptance.proxy import Door
from tests.brokers import find_redis_or_valkey
from tests.images.build import ROOT, CannotBuildError, built_image
from tests.images.composition import OURS, read_compose
from tests.images.containers import Container, ended, spec_of
from tests.servers import Server, free_port, wait_until

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PASSWORD = "pa-ss-w0rd"
SECRETS = {
    "database_password": f"{PASSWORD}\n",
    "broker_password": f"{PASSWORD}\n",
    "valkey.conf": f"requirepass {PASSWORD}\n",
    "secret_key": f"{KEY}\n",
}


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """The image, built once."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(built_image(tmp_path_factory.mktemp("context")))
        except CannotBuildError as error:
            pytest.skip(str(error))
        yield found


class Stack:
    """The compose file's services on this host: ours in containers, PostgreSQL and Valkey behind doors."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, image, database_url: str) -> None:
        self._stack, self._folder, self._image = stack, folder, image
        self.containers: dict[str, Container] = {}
        self.ports = {name: free_port() for name in ("sandbox", *OURS)}
        changes = {"8410": str(self.ports["sandbox"]), "8420": str(self.ports["web"])}
        self._secrets = _write_secrets(folder, changes)
        self.compose = read_compose({"INVOICES_WEBHOOK_ALLOW": f"sandbox:{self.ports['sandbox']}"}, changes)
        address = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}.9"
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost web sandbox\n{address} postgres valkey\n")
        self.database = stack.enter_context(_door(address, 5432, _place_of(database_url)))
        self.valkey = stack.enter_context(_door(address, 6379, ("127.0.0.1", self._start_valkey())))
        self._name_database(database_url)

    def start(self, *names: str) -> None:
        """Start services of ours."""
        for name in names:
            settings = {
                "INVOICES_METRICS_PORT": str(self.ports[name]),
                "INVOICES_WEB_PORT": str(self.ports["web"]),
                "INVOICES_NICE": "0",
            }
            service = self.compose["services"][name]
            spec = spec_of(self._image, service, self._secrets, self._hosts, **settings)
            self.containers[name] = self._stack.enter_context(ended(Container(self._folder, self._image, spec)))

    def wait_until_healthy(self, *names: str) -> None:
        """Until the image's health check succeeds in each."""
        for name in names:
            one = self.containers[name]
            wait_until(functools.partial(_healthy_or_ended, one), f"{name} is healthy: {one.said()[-2000:]}", 120)
            assert one.runs(), one.said()

    def said(self) -> str:
        """The end of what each container printed."""
        return "\n".join(f"--- {name}: {one.said()[-1500:]}" for name, one in self.containers.items())

    def ask(self, *arguments: str) -> list:
        """`docker compose exec web invoices …`; its JSON lines."""
        done = self.containers["web"].run("/opt/invoices/bin/invoices", *arguments)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _start_valkey(self) -> int:
        """As the compose file has it, but for where its files are and its port."""
        service, port = self.compose["services"]["valkey"], free_port()
        _, settings, *options = service["command"]
        assert settings == "/run/secrets/valkey_conf"
        options[options.index("/data")] = str(self._folder)
        command = [find_redis_or_valkey(), str(self._secrets["valkey_conf"]), *options, "--bind", "127.0.0.1"]
        server = Server([*command, "--port", str(port)], self._folder / "valkey.log")
        self._stack.callback(server.end)
        return port

    def _name_database(self, database_url: str) -> None:
        """The compose file's user and database, in this test's server."""
        given = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        wanted = make_url(self.compose["x-ours"]["environment"]["INVOICES_DATABASE_URL"])
        name = make_url(database_url).database
        with psycopg.connect(given, autocommit=True) as connection:
            user = f"container_{os.getpid()}"
            connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'".encode())
            self._stack.callback(_drop_role, given, user)
            connection.execute(f"GRANT ALL ON DATABASE {name} TO {user}; GRANT ALL ON SCHEMA public TO {user}".encode())
        url = wanted.set(username=user, database=name).render_as_string(hide_password=False)
        for service in OURS:
            environment = self.compose["services"][service]["environment"]
            if environment:
                environment["INVOICES_DATABASE_URL"] = url


def _healthy_or_ended(container: Container) -> bool:
    return not container.runs() or container.is_healthy()


def _drop_role(url: str, user: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {user} CASCADE; DROP ROLE {user}".encode())


def _write_secrets(folder: Path, changes: dict[str, str]) -> dict[str, Path]:
    """The files that the compose file names, and where each is."""
    accounts = (ROOT / "deploy" / "accounts.demo.json").read_text().replace("8410", changes["8410"])
    for name, text in {**SECRETS, "accounts.json": accounts}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    declared = read_compose({"SECRETS": str(folder), "ACCOUNTS": str(folder / "accounts.json")})["secrets"]
    return {name: Path(one["file"]) for name, one in declared.items()}


def _place_of(database_url: str) -> tuple[str, int] | str:
    url = make_url(database_url)
    folder, port = url.query.get("host"), url.port or 5432
    return f"{folder}/.s.PGSQL.{port}" if folder else (url.host or "127.0.0.1", port)


def _door(address: str, port: int, target: tuple[str, int] | str) -> Door:
    door = Door(target, address)
    door.port = port
    return door


@pytest.fixture
def stack(image, tmp_path, new_postgres_url):
    """Nothing of ours runs yet; the database is empty."""
    with contextlib.ExitStack() as ends:
        yield Stack(ends, tmp_path, image, new_postgres_url)
