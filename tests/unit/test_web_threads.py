"""The web process's threads, and the store's connections that they use."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest

from tests.contracts.doctor_cases import settings
from workers.bootstrap import STORE_CONNECTIONS, open_store
from workers.web.metrics import Metrics
from workers.web.process import Process
from workers.web.threads import CONNECTIONS, STORE_THREADS, StoreThreads


def assemble(config, connections):
    store = open_store(config, connections=connections)
    runtime: Any = SimpleNamespace(store=store)
    return Process(config, runtime, fakeredis.FakeStrictRedis(), StoreThreads(), Metrics("1"))


def test_every_thread_that_uses_the_store_has_a_connection_of_its_own(tmp_path):
    process = assemble(settings(tmp_path), CONNECTIONS)
    database = process.runtime.store.database
    with contextlib.ExitStack() as held:
        for _ in range(sum(STORE_THREADS.values())):
            held.enter_context(database.reading())
    database.close()


def test_a_store_with_fewer_connections_than_threads_is_refused(tmp_path):
    with pytest.raises(ValueError, match="threads use the store"):
        assemble(settings(tmp_path), STORE_CONNECTIONS)


def test_a_thread_that_is_not_counted_is_not_started(tmp_path):
    process = assemble(settings(tmp_path), CONNECTIONS)
    with pytest.raises(ValueError, match="another"):
        process.start("another", lambda _: None)
