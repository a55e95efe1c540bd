"""What nobody may do to any operation of ``/v1``: another host, a body without end, a slow one, a look at a bug."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from workers.web.api.api import BODY_BYTES
from workers.web.api.schema.openapi import operations

JSON = {"content-type": "application/json"}


def ask_all(service, *, only_bodies=False, **options):
    """The status of each operation's answer, by its name."""
    described = [one for one in operations(service.served.routes) if one.body or not only_bodies]

    async def ask(operation):
        given = {name: value() if callable(value) else value for name, value in options.items()}
        return await service.ask(operation.method, operation.path.replace("{id}", "none"), **given)

    async def ask_each():
        return {operation.name: await ask(operation) for operation in described}

    found = asyncio.run(ask_each())
    assert found
    return found


def statuses(answered):
    return {name: answer.status_code for name, answer in answered.items()}


def all_are(status, answered):
    return statuses(answered) == dict.fromkeys(answered, status)


def test_another_host_is_421_even_without_a_token(service):
    assert all_are(421, ask_all(service, headers={"host": "evil.example"}))
    assert all_are(421, ask_all(service, headers={"host": "evil.example"}, token="none"))


def test_a_body_is_counted_as_it_is_read(service):
    async def pieces():
        for _ in range(BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    assert all_are(413, ask_all(service, only_bodies=True, content=pieces, headers=JSON))


def test_one_that_is_announced_as_too_large_is_refused_before_it_is_read(service):
    async def never():
        raise AssertionError("it was read")
        yield b""

    headers = JSON | {"content-length": str(BODY_BYTES + 1)}
    assert all_are(413, ask_all(service, only_bodies=True, content=never, headers=headers))


def test_one_that_trickles_in_is_408_and_its_connection_is_closed(service, monkeypatch):
    monkeypatch.setattr("workers.web.api.api.BODY_SECONDS", 0.05)

    async def trickle():
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    answered = ask_all(service, only_bodies=True, content=trickle, headers=JSON)
    assert all_are(408, answered)
    assert {answer.headers["connection"] for answer in answered.values()} == {"close"}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (415, b"{}", {}),
        (415, b"{}", {"content-type": "text/plain"}),
        (415, gzip.compress(b"{}", mtime=0), JSON | {"content-encoding": "gzip"}),
        (400, b"", JSON),
        (400, b'{"reason": NaN}', JSON),
        (400, b"[" * 60_000, JSON),
        (400, b'{"reason": "a", "reason": "b"}', JSON),
        (400, json.dumps([0] * 20_000).encode(), JSON),
        (422, b"[]", JSON),
        (422, b'{"colour": "red"}', JSON),
    ],
)
def test_one_that_can_not_be_used_is_refused_as_documented(service, status, body, headers):
    assert all_are(status, ask_all(service, only_bodies=True, content=body, headers=headers))


def test_a_bug_is_500_without_a_word_of_it(service, monkeypatch):
    async def fail(*_, **__):
        raise RuntimeError("secret words of a bug")

    monkeypatch.setattr(service.threads, "run", fail)
    answered = ask_all(service)
    assert {answer.status_code for answer in answered.values()} <= {200, 500}
    assert statuses(answered)["listInvoices"] == 500
    for answer in answered.values():
        assert "secret words" not in answer.text
        assert "Traceback" not in answer.text


def test_another_method_is_405_with_all_that_the_path_has(service):
    there: dict[str, set[str]] = {}
    for one in operations(service.served.routes):
        there.setdefault(one.path, set()).update({one.method, *(["HEAD"] if one.method == "GET" else [])})

    async def ask(path):
        answered = await service.ask("TRACE", path.replace("{id}", "none"))
        assert answered.json()["detail"]
        return answered.status_code, set(answered.headers["allow"].split(", "))

    async def ask_all():
        return {path: await ask(path) for path in there}

    assert asyncio.run(ask_all()) == {path: (405, methods) for path, methods in there.items()}


def test_a_slash_too_many_is_no_page_and_leads_nowhere(service):
    there = sorted({one.path.replace("{id}", "none") for one in operations(service.served.routes)})

    async def ask_all():
        return [await service.ask("GET", f"{path}/") for path in there]

    for answered in asyncio.run(ask_all()):
        assert (answered.status_code, answered.headers["content-type"]) == (404, "application/problem+json")
        assert answered.json()["detail"]
        assert "location" not in answered.headers
