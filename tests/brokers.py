"""Brokers for tests, each a real server (or several) of this test's own on loopback: how to reach it, and to hurt it.

Servers come from the wheel where it has them, else from the system's packages; without them `MissingEngineError` says
in a sentence what to install. Every server ends with its `with`, and with the process that started it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.engines import MissingEngineError
from tests.rabbitmq import RabbitMq
from tests.redis_brokers import Broker, RedisServer, Sentinels, UsersServer
from workers.embedded.errors import EmbeddedError
from workers.embedded.valkey import find_server

T = TypeVar("T")


@contextlib.contextmanager
def run_redis(folder: Path) -> Iterator[Broker]:
    """The system's own Redis, 7 or newer."""
    with contextlib.closing(RedisServer(find_redis(), folder)) as broker:
        yield broker


@contextlib.contextmanager
def run_redis_with_tls(folder: Path) -> Iterator[Broker]:
    """The system's own Redis with TLS and a password: the wheel's Valkey is built without TLS."""
    with contextlib.closing(RedisServer(find_redis(), folder, tls=True)) as broker:
        yield broker


@contextlib.contextmanager
def run_sentinels(folder: Path) -> Iterator[Sentinels]:
    """Behind Sentinel; the wheel's Valkey where there is no Redis."""
    with contextlib.closing(Sentinels(find_redis_or_valkey(), folder)) as broker:
        yield broker


@contextlib.contextmanager
def run_rabbitmq(folder: Path, settings: str = "") -> Iterator[RabbitMq]:
    """The system's RabbitMQ."""
    places = ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server"))
    program = next((place for place in places if place and Path(place).exists()), None)
    if program is None or shutil.which("epmd") is None:
        raise MissingEngineError("no RabbitMQ: install the package rabbitmq-server (3.10 or newer)")
    with contextlib.closing(RabbitMq(program, folder, settings)) as broker:
        yield broker


@contextlib.contextmanager
def run_redis_with_users(folder: Path) -> Iterator[Broker]:
    """The system's own Redis; each kind of process is a user with the rights of deploy/redis/users.acl."""
    with contextlib.closing(UsersServer(find_redis(), folder)) as broker:
        yield broker


@contextlib.contextmanager
def run_valkey_with_users(folder: Path) -> Iterator[Broker]:
    """The same with Valkey."""
    with contextlib.closing(UsersServer(find_valkey(), folder)) as broker:
        yield broker


#: With users of their own for each kind of process.
WITH_USERS: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Any]]] = {
    "redis-users": run_redis_with_users,
    "valkey-users": run_valkey_with_users,
}
#: By the names that tests go by.
BROKERS: Mapping[str, Callable[[Path], contextlib.AbstractContextManager[Any]]] = {
    "redis": run_redis,
    "tls": run_redis_with_tls,
    "sentinel": run_sentinels,
    "rabbitmq": run_rabbitmq,
}


def embedded_and(*names: str) -> list[Any]:
    """The parameters of a fixture that opens each of them; the embedded one is part of the quick tests."""
    return ["embedded", *(pytest.param(name, marks=pytest.mark.engines) for name in names)]


class Brokers:
    """Brokers by their names, each a server of the test's own, but RabbitMQ, whose start takes long: one for all."""

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self._new_folder = new_folder
        self._shared = contextlib.ExitStack()
        self._rabbitmq: RabbitMq | None = None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Broker | None]:
        """Empty as on its first day; None for the embedded one, which a system brings along. A missing one skips."""
        if name == "embedded":
            yield None
        elif name == "rabbitmq":
            if self._rabbitmq is None:
                self._rabbitmq = self._shared.enter_context(skipping(run_rabbitmq(self._new_folder(name))))
            self._rabbitmq.renew()
            yield self._rabbitmq
        else:
            with skipping({**BROKERS, **WITH_USERS}[name](self._new_folder(name))) as broker:
                yield broker

    def close(self) -> None:
        """Stop what is shared."""
        self._shared.close()


@contextlib.contextmanager
def skipping(engine: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """An engine, or the test is skipped with the sentence that says what to install."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(engine)
        except MissingEngineError as error:
            pytest.skip(str(error))
        yield started


def find_redis() -> str:
    """A redis-server of version 7 or newer. Raises MissingEngineError."""
    program = shutil.which("redis-server")
    said = subprocess.run([program, "--version"], capture_output=True, check=False).stdout.decode() if program else ""
    if program is None or int(said.partition("v=")[2].partition(".")[0] or 0) < 7:
        raise MissingEngineError("no Redis: install the package redis-server (7 or newer)")
    return program


def find_redis_or_valkey() -> str:
    """Redis where it is installed, else Valkey."""
    with contextlib.suppress(MissingEngineError):
        return find_redis()
    try:
        return str(find_server())
    except EmbeddedError as error:
        raise MissingEngineError(str(error)) from None


def find_valkey() -> str:
    """The wheel's Valkey, or the system's."""
    try:
        program = str(find_server())
    except EmbeddedError as error:
        raise MissingEngineError(str(error)) from None
    if "valkey" not in Path(program).name:
        raise MissingEngineError("no Valkey: install the test extra, or the package valkey-server")
    return program
