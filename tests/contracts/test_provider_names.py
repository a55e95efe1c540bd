"""Accounts whose provider's name does not resolve hold up no other account."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from domain.evidence import Created, Unreachable
from tests.contracts.provider_cases import CASES
from tests.contracts.provider_server import Server, http, sends
from workers.bootstrap import open_providers_client
from workers.providers.call import Call

DEAD = 60


@pytest.fixture
def resolver(monkeypatch):
    """The system's resolver: dead names hang until it is set, all others are here."""
    released = threading.Event()

    def getaddrinfo(host, *_, **__):
        if str(host).startswith("dead"):
            released.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    yield released
    released.set()


def test_sixty_accounts_with_dead_names_hold_up_no_other_and_are_unreachable_by_their_own_time_out(resolver):
    case = CASES["nebulox"]
    dead = [case.account(f"http://dead{n}.example", timeout_seconds=0.3) for n in range(DEAD)]

    async def story():
        async with Server(sends(http("201 Created", case.made.encode()))) as server:
            good = case.account(f"http://good.example:{server.port}", timeout_seconds=60)
            accounts = {str(number): account for number, account in enumerate([*dead, good])}
            async with open_providers_client(accounts) as client:
                adapter = case.adapter(Call(client))
                lost = await asyncio.gather(*(adapter.create(case.request(), account) for account in dead))
                assert not resolver.is_set()  # their questions hold their threads still
                again = [asyncio.create_task(adapter.create(case.request(), account)) for account in dead]
                made = await adapter.create(case.request(), good)
                return lost + await asyncio.gather(*again), made

    lost, made = asyncio.run(asyncio.wait_for(story(), 60))
    assert isinstance(made, Created)
    assert all(isinstance(one, Unreachable) for one in lost)
    assert {one.reason for one in lost} == {"no connection within the time-out"}
