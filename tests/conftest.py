"""Engines for all tests, started when the first test asks and stopped with the session; one set per xdist worker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os

import argon2
import hypothesis
import pytest
import redis
import structlog

from config.logging import QUIET
from tests import compiled, examples  # noqa: F401 - every engine shares its statements; a profile for Hypothesis
from tests.engines import MissingEngineError, new_postgres_database, run_postgres, run_valkey
from workers.embedded.errors import EmbeddedError
from workers.engine.loop import new_loop
from workers.engine.memory import keep_what_is_loaded
from workers.store import passwords

# What runs on a loop here runs on the workers' own; the commands' processes, which make theirs, on asyncio's. With
# warnings as errors uvloop never ends a loop that has a transport left open: the time-out then shows `Runner.close`.
asyncio.events.new_event_loop = new_loop

#: structlog's default draws a traceback for a terminal, with every variable: that takes longer than most tests.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)

#: Instead of what `workers.store.passwords` asks for, which is meant to take long.
LIGHT = functools.cache(functools.partial(argon2.PasswordHasher, time_cost=1, memory_cost=8, parallelism=1))

# What is loaded and collected stays: until all of it is there, looking for garbage is in vain.
gc.disable()

hypothesis.settings.load_profile("invoices")  # registered in tests.examples

#: These take longest, so they begin first: at the end nobody waits for the last of them while other cores are idle.
LONG = (
    "tests/upgrades/",
    "tests/acceptance/",
    "tests/simulation/",
    "tests/contracts/test_why_agrees.py",
    "tests/contracts/test_transport",
)


def pytest_collection_modifyitems(items):
    """Long files first; otherwise in the order of their names."""
    items.sort(
        key=lambda item: next((turn for turn, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))
    )


def pytest_collection_finish():
    """Ten thousand collected tests are not looked through again by each garbage collection."""
    keep_what_is_loaded()
    gc.enable()


@pytest.fixture(autouse=True)
def own_logging():
    """Whatever a test configures of logging, a command say, is undone after it: the next one's log lines count too."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    structlog.reset_defaults()
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN])
    yield
    logging.captureWarnings(False)
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)


@pytest.fixture(autouse=True)
def light_passwords(monkeypatch):
    """Hashing a password takes no time; `unit/test_passwords.py` does without this."""
    monkeypatch.setattr(passwords, "_hasher", LIGHT)


@pytest.fixture(scope="session")
def postgres_url():
    """A PostgreSQL server's URL, `postgresql+psycopg://…`, with a user that may create databases."""
    given = os.environ.get("INVOICES_TEST_POSTGRES_URL")
    if given:
        yield given.replace("postgresql://", "postgresql+psycopg://", 1)
        return
    with contextlib.ExitStack() as engines:
        # Statistics change when a test says so: with a few rows analyzed, reading them whole is the better plan.
        yield _start(engines, run_postgres({"autovacuum": "off"}))


@pytest.fixture
def new_postgres_url(postgres_url):
    """The URL of a fresh, empty PostgreSQL database of this test's own."""
    with new_postgres_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def valkey_urls():
    """The (redis-py, kombu) URLs of a Valkey that this session may fill and flush."""
    given = os.environ.get("INVOICES_TEST_VALKEY_URL")
    if given:
        yield given, given
        return
    with contextlib.ExitStack() as engines:
        where = _start(engines, run_valkey())
        yield where.redis_url, where.broker_url


@pytest.fixture(scope="session")
def valkey_url(valkey_urls):
    """The session's Valkey for redis-py. Keys of other tests may be in it."""
    return valkey_urls[0]


@pytest.fixture(scope="session")
def valkey_broker_url(valkey_urls):
    """The session's Valkey for kombu and Celery."""
    return valkey_urls[1]


@pytest.fixture
def empty_valkey_url(valkey_url):
    """The session's Valkey, emptied before the test."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    return valkey_url


def _start(engines, engine):
    """Starts an engine; without one the test is skipped, or fails where that would go unseen."""
    try:
        return engines.enter_context(engine)
    except (MissingEngineError, EmbeddedError) as error:
        if os.environ.get("CI"):
            pytest.fail(f"{error} (needed in CI)")
        pytest.skip(str(error))
