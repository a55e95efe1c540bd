"""What waits on the shelf of callbacks: one that can't be kept holds up no other, and stays. A broker in memory."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DataError, OperationalError
from starlette.requests import Request

from domain.account import Account
from tests.callbacks import KEY, nebulox_callback, sign
from workers.providers.nebulox import callbacks as nebulox_callbacks
from workers.web.callbacks import CallbackDesk
from workers.web.forged import ForgedSample
from workers.web.metrics import Metrics
from workers.web.shelf import Shelf
from workers.web.threads import StoreThreads

BAD = DataError("INSERT", {}, Exception("numeric field overflow"))
SLOW = OperationalError("INSERT", {}, QueryCanceled("statement timeout"))
AWAY = OperationalError("INSERT", {}, Exception("away"))


@pytest.fixture
def shelf(app):
    return Shelf(app)


@pytest.fixture
def account():
    return Account(name="shop", provider="nebulox", base_url="https://nebulox.example", api_key=KEY)


def taking(bad, error):
    """Takes all but one; what it was given, in this order."""
    seen = []

    def take(account, body, headers):
        seen.append(body)
        if body == bad:
            raise error

    return seen, take


def look(shelf, take):
    shelf._empty(take, threading.Event())


@pytest.mark.parametrize("error", [BAD, SLOW, ValueError("a bug")])
def test_one_that_can_not_be_kept_goes_behind_the_others_and_comes_again(shelf, error):
    for body in (b"0", b"1", b"2"):
        shelf.put("shop", body, [("x-hash", "0")])
    seen, take = taking(b"0", error)
    with pytest.raises(type(error)):
        look(shelf, take)
    assert seen == [b"0", b"1", b"2"]

    seen, take = taking(None, error)
    look(shelf, take)
    look(shelf, take)
    assert seen == [b"0"]


def test_while_the_database_is_away_all_stay_as_they_are(shelf):
    for body in (b"0", b"1"):
        shelf.put("shop", body, [])
    seen, take = taking(b"0", AWAY)
    with pytest.raises(OperationalError):
        look(shelf, take)
    assert seen == [b"0"]

    seen, take = taking(None, AWAY)
    look(shelf, take)
    assert sorted(seen) == [b"0", b"1"]


def desk(account, shelf, keep):
    provider = SimpleNamespace(
        read_callback=nebulox_callbacks.read_callback, verify_callback=nebulox_callbacks.is_signed
    )
    return CallbackDesk(
        {"shop": account}, {"nebulox": provider}, keep, shelf, StoreThreads(), Metrics("1"), ForgedSample(print)
    )


def test_a_signed_body_that_can_not_be_read_is_turned_away_for_good(account):
    kept: list[object] = []
    taker = desk(account, None, kept.extend)
    for body in (b"[]", b"{}", b"\xff", b'{"orderId": [], "status": "COMPLETED"}'):
        taker.take_from_shelf("shop", body, [("x-hash", sign(body))])
    assert kept == []


@pytest.mark.parametrize("error", [BAD, ValueError("a bug")])
def test_what_the_database_does_not_take_waits_on_the_shelf(account, shelf, error):
    def keep(_):
        raise error

    body = nebulox_callback("order-1")
    headers = [(b"x-hash", sign(body).encode())]

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/callbacks/shop", "headers": headers}
    request = Request(scope | {"path_params": {"account": "shop"}}, receive)
    assert asyncio.run(desk(account, shelf, keep).take(request)).status_code == 200
    seen, take = taking(None, error)
    look(shelf, take)
    assert seen == [body]
