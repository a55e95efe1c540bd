"""Bearer tokens: who gets in, for what, how often, and what is asked of the database for it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from domain.permissions import Action, Scope
from workers.store.tokens import Token, hash_of
from workers.web.api.access import Access
from workers.web.application import Surroundings, build_application
from workers.web.health import Health
from workers.web.metrics import Metrics
from workers.web.threads import StoreThreads

NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
ID, SECRET = f"tok_{'0' * 32}", "a-secret-of-more-than-sixteen-characters"
RIGHT = {"authorization": f"Bearer {ID}.{SECRET}"}


def token(**fields):
    given = {
        "id": ID,
        "name": "shop",
        "scopes": (Scope.READ,),
        "accounts": None,
        "hash": hash_of(SECRET),
        "per_second": None,
        "created_at": NOW,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    return Token(**given | fields)


class Door:
    """An application with one page behind a token, and what it asked for."""

    def __init__(self, *tokens, clock=lambda: 0.0, action=Action.READ):
        self.tokens = {one.id: one for one in tokens}
        self.asked: list[list[str]] = []
        self.noted: queue.SimpleQueue[Sequence[str]] = queue.SimpleQueue()
        self.access = Access(StoreThreads(), self.find, self.noted.put, clock)
        self.enter = self.access.require
        self.action = action
        health = Health(StoreThreads(), lambda: None, lambda: None)
        surroundings = Surroundings((), (), (), None)
        routes = [Route("/page", self.page)]
        self.application = build_application(surroundings, health, Metrics("1"), routes)

    def find(self, ids):
        self.asked.append(list(ids))
        return NOW, self.tokens

    async def page(self, request):
        caller = await self.enter(request, self.action)
        if "account" in request.query_params:
            caller.require_account(request.query_params["account"])
        return PlainTextResponse(caller.acting("why").name)

    async def get(self, headers, path="/page", times=1):
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*(client.get(path, headers=headers) for _ in range(times)))

    def ask(self, headers=RIGHT, path="/page"):
        (answered,) = asyncio.run(self.get(headers, path))
        return answered


def test_a_right_token_gets_in_and_its_name_is_the_actor_s():
    answered = Door(token()).ask()

    assert (answered.status_code, answered.text) == (200, "shop")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer x"},
        {"authorization": f"Basic {ID}.{SECRET}"},
        {"authorization": f"Bearer {ID}.{SECRET}x"},
        {"authorization": f"Bearer {ID}.{'b' * 40}"},
        {"authorization": f"Bearer tok_{'1' * 32}.{SECRET}"},
        {"authorization": f"Bearer {ID}.{SECRET}, Bearer {ID}.{SECRET}"},
        {"authorization": f"Bearer {ID}.{SECRET}\xe9"},
    ],
)
def test_anything_else_is_401_as_a_problem_that_names_the_scheme(headers):
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    answered = Door(token()).ask(headers)

    assert answered.status_code == 401
    assert answered.headers["www-authenticate"].startswith("Bearer")
    assert answered.headers["content-type"] == "application/problem+json"
    assert set(answered.json()) == {"type", "title", "status", "detail"}
    assert SECRET not in answered.text


@pytest.mark.parametrize(
    "gone", [{"revoked_at": NOW}, {"expires_at": NOW}, {"expires_at": NOW - timedelta(microseconds=1)}]
)
def test_revoked_and_expired_ones_are_401(gone):
    assert Door(token(**gone)).ask().status_code == 401


def test_it_counts_until_it_expires():
    assert Door(token(expires_at=NOW + timedelta(microseconds=1))).ask().status_code == 200


def test_what_its_scopes_do_not_allow_is_403():
    answered = Door(token(scopes=(Scope.ORDERS, Scope.READ)), action=Action.MARK).ask()

    assert answered.status_code == 403
    assert 'error="insufficient_scope"' in answered.headers["www-authenticate"]


def test_a_token_that_is_recognised_and_was_revoked_is_401_whatever_its_scopes_are():
    door = Door(token(scopes=(Scope.READ,)))
    assert door.ask().status_code == 200
    door.enter, door.action = door.access.recognise, Action.CREATE
    assert door.ask().status_code == 403
    door.tokens[ID] = token(scopes=(Scope.READ,), revoked_at=NOW)
    answered = door.ask()
    assert answered.status_code == 401
    assert 'error="invalid_token"' in answered.headers["www-authenticate"]


def test_another_account_is_403():
    door = Door(token(accounts=frozenset({"ours"})))

    assert door.ask(path="/page?account=ours").status_code == 200
    assert door.ask(path="/page?account=theirs").status_code == 403


def test_its_limit_is_429_and_says_when_to_come_again():
    now = [0.0]
    door = Door(token(per_second=Decimal("0.5")), clock=lambda: now[0])

    async def ask_twice():
        (first,), (second,) = await door.get(RIGHT), await door.get(RIGHT)
        now[0] = 2.0
        (third,) = await door.get(RIGHT)
        return first, second, third

    first, second, third = asyncio.run(ask_twice())
    assert [first.status_code, second.status_code, third.status_code] == [200, 429, 200]
    assert second.headers["retry-after"] == "2"


def test_many_requests_at_once_share_a_look_at_the_tokens():
    door = Door(token())
    released = threading.Event()

    def find(ids):
        assert released.wait(30)
        return Door.find(door, ids)

    door.access._find = find

    async def ask():
        asked = asyncio.create_task(door.get(RIGHT, times=150))
        asyncio.get_running_loop().call_later(0.5, released.set)  # most have come by then; the others join later looks
        return await asked

    assert {answered.status_code for answered in asyncio.run(ask())} == {200}
    assert sum(map(len, door.asked)) == 150
    assert len(door.asked) < 15


def test_its_use_is_noted_once_a_minute():
    now = [0.0]
    door = Door(token(), clock=lambda: now[0])

    async def ask():
        await door.get(RIGHT, times=3)
        now[0] = 61.0
        await door.get(RIGHT)
        return [await asyncio.to_thread(door.noted.get, timeout=30) for _ in range(2)]

    assert asyncio.run(ask()) == [[ID], [ID]]
    assert door.noted.empty()


def test_while_the_database_is_away_it_is_503_and_to_be_tried_again():
    door = Door(token())

    def fail(_):
        raise OperationalError("SELECT", {}, Exception("away"))

    door.access._find = fail
    answered = door.ask()
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "2")
