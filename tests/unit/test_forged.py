"""A flood of forged callbacks costs a bounded number of writes, and none of them on the way of an answer."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from structlog.testing import capture_logs

from domain.account import Account
from tests.callbacks import KEY, nebulox_callback, sign
from workers.providers.nebulox.adapter import Nebulox
from workers.web.callbacks import CallbackDesk
from workers.web.forged import BODY_BYTES, MOST_WAITING, ForgedSample
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

FLOOD = 10_000


class Written:
    """What the sample wrote."""

    def __init__(self):
        self.batches = []
        self.error = None
        self.afterwards = lambda: None

    def __call__(self, batch):
        if self.error is not None:
            raise self.error
        self.batches.append(list(batch))
        self.afterwards()

    @property
    def rows(self):
        return [one for batch in self.batches for one in batch]


@pytest.fixture
def written():
    return Written()


@pytest.fixture
def sample(written):
    return ForgedSample(written)


@pytest.fixture
def kept():
    return []


@pytest.fixture
def desk(sample, kept):
    shop = Account(name="shop", provider="nebulox", base_url="https://nebulox.example", api_key=KEY)

    def keep(callbacks):
        kept.extend(callbacks)
        return [True] * len(callbacks)

    nobody: Any = None  # neither a provider nor the broker is asked for anything
    providers = {"nebulox": Nebulox(nobody)}
    return CallbackDesk({"shop": shop}, providers, keep, nobody, StoreThreads(), Metrics("1"), sample)


def request(body, account="shop", **headers):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs, "client": ("203.0.113.9", 4711)}
    return Request(scope | {"path_params": {"account": account}}, receive)


def take(desk, *requests):
    async def take_all():
        return [(await desk.take(one)).status_code for one in requests]

    return asyncio.run(take_all())


def test_a_flood_writes_a_few_rows_and_keeps_no_real_one_waiting(desk, sample, written, kept):
    body = nebulox_callback("order-1")
    forged = [request(b"forged", x_hash="0" * 64) for _ in range(FLOOD)]
    real = request(body, x_hash=sign(body))

    statuses = take(desk, *forged[: FLOOD // 2], real, *forged[FLOOD // 2 :])

    assert statuses.count(401) == FLOOD
    assert [one.body for one in kept] == [body]
    assert written.batches == []  # nothing on the answers' way
    sample.write_waiting()
    assert len(written.rows) == MOST_WAITING
    sample.write_waiting()
    assert len(written.batches) == 1


def test_names_that_nobody_configured_share_one_place(desk, sample, written):
    take(desk, request(b"forged"), *(request(b"forged", account=f"nobody-{n}") for n in range(1000)))
    sample.write_waiting()

    assert [one.account for one in written.rows] == ["shop"] + [None] * MOST_WAITING
    assert written.rows[-1].why == "there is no account 'nobody-999'"


def test_what_is_kept_is_bounded_and_holds_no_secret(desk, sample, written):
    secrets = {"authorization": "Bearer secret-1", "cookie": "secret-2", "x_hash": "secret-3", "x_api_key": "secret-4"}
    many = {f"x_{n}": "secret-5" for n in range(200)}
    take(desk, request(b"{" * 60_000, user_agent="curl" * 1000, content_type="text/plain", **secrets, **many))
    sample.write_waiting()

    (one,) = written.rows
    assert (one.size, len(one.body), one.client) == (60_000, BODY_BYTES, "203.0.113.9")
    assert "secret" not in one.headers
    headers = json.loads(one.headers)
    assert headers["content-type"] == "text/plain"
    assert len(headers["user-agent"]) == 300
    assert "authorization" in headers["names"]
    assert len(one.headers) < 4000


def test_the_thread_writes_once_for_each_of_its_pauses(desk, sample, written):
    class Stopping(threading.Event):
        pauses = 0

        def wait(self, timeout=None):
            self.pauses += 1
            assert len(written.batches) == self.pauses - 1
            if self.pauses == 3:
                self.set()
            return self.is_set()

    written.afterwards = lambda: take(desk, *(request(b"forged") for _ in range(100)))
    written.afterwards()
    sample.run(Stopping())

    assert [len(batch) for batch in written.batches] == [MOST_WAITING] * 3


def test_while_the_database_is_away_they_are_counted_only(desk, sample, written):
    written.error = OperationalError("INSERT", {}, Exception("away"))
    take(desk, request(b"forged"))
    with capture_logs() as logs:
        sample.write_waiting()

    assert [line["event"] for line in logs] == ["callback.forged_not_kept"]
    written.error = None
    take(desk, request(b"forged-2"))
    sample.write_waiting()
    assert [one.body for one in written.rows] == [b"forged-2"]
