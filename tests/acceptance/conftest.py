"""What more than one file of acceptance tests stands on."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy.engine import make_url

from tests.acceptance.proxy import Door
from tests.brokers import BROKERS, Brokers, embedded_and


@pytest.fixture(scope="session")
def brokers(tmp_path_factory):
    """`with brokers.open(name) as broker`, by the names of `BROKERS`."""
    with contextlib.closing(Brokers(tmp_path_factory.mktemp)) as brokers:
        yield brokers


@pytest.fixture(params=embedded_and(*BROKERS))
def broker(request, brokers):
    """Each broker in turn; None for the embedded one."""
    with brokers.open(request.param) as broker:
        yield broker


@pytest.fixture(params=embedded_and("rabbitmq"))
def either_broker(request, brokers):
    """One that speaks Redis (the embedded one: None) and one that does not, where TLS or Sentinel change nothing."""
    with brokers.open(request.param) as broker:
        yield broker


@pytest.fixture
def postgres_behind_a_door(new_postgres_url):
    """(door, the URL of the database through it)."""
    url = make_url(new_postgres_url)
    folder = url.query.get("host")
    port = url.port or 5432
    with Door(f"{folder}/.s.PGSQL.{port}" if folder else (url.host or "127.0.0.1", port)) as door:
        through = url.set(host="127.0.0.1", port=door.port, query={})
        yield door, through.render_as_string(hide_password=False)
