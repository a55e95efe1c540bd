"""How the whole does, as ``/health/ready`` tells it: beside the answer, never in its way."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from starlette.requests import Request

from workers.web import health
from workers.web.health import Health
from workers.web.threads import StoreThreads


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    """Each probe looks for itself."""
    monkeypatch.setattr(health, "KEEP_SECONDS", -1.0)
    monkeypatch.setattr(health, "KEEP_VERDICT_SECONDS", -1.0)


async def probe(page):
    answered = await page.ready(Request({"type": "http"}))
    return answered.status_code, json.loads(answered.body)["parts"]


def page_that_reads(read):
    return Health(StoreThreads(), lambda: None, lambda: None, read)


def test_whatever_is_wrong_with_the_verdict_the_process_is_ready():
    def read():
        raise LookupError("a bug")

    status, parts = asyncio.run(probe(page_that_reads(read)))
    assert (status, parts["database"], parts["business"]) == (200, "ok", "unknown (LookupError)")


def test_a_verdict_that_takes_long_is_not_asked_for_once_more_beside_itself(monkeypatch):
    monkeypatch.setattr(health, "VERDICT_SECONDS", 0.01)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def read():
        begun.release()
        assert go_on.wait(60)
        return "OK"

    async def story():
        page = page_that_reads(read)
        found = [await probe(page) for _ in range(20)]
        go_on.set()
        return found

    found = asyncio.run(story())
    assert {(status, parts["business"]) for status, parts in found} == {(200, "unknown (Overloaded)")}
    assert begun.acquire(timeout=60)
    assert not begun.acquire(blocking=False)


def test_a_verdict_is_told_and_asked_for_again():
    verdicts = iter(["OK", "STALLED"])

    async def story():
        page = page_that_reads(lambda: next(verdicts))
        return [(await probe(page))[1]["business"] for _ in range(2)]

    assert asyncio.run(story()) == ["OK", "STALLED"]
