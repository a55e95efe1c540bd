"""The adapters against the shipped sandbox: the two halves read the same documents."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from domain.evidence import (
    Created,
    CredentialsRefused,
    InDoubt,
    OrderRefused,
    ProviderRefused,
    RateLimited,
    Seen,
    Unreadable,
)
from domain.status import Status
from tests.contracts.made_up import EVERY, MadeUpStandIn
from tests.contracts.provider_cases import CASES
from tests.contracts.sandbox_thread import serve_sandbox
from workers.embedded.sandbox.application import Options
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.providers.call import Call, open_client

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)


@pytest.fixture(scope="module")
def sandbox():
    with serve_sandbox(Options(lifetime_seconds=90), [*STAND_INS, MadeUpStandIn]) as served:
        yield served


@asynccontextmanager
async def adapters():
    client = open_client(50)
    try:
        call = Call(client)
        yield {name: case.adapter(call) for name, case in EVERY.items()}
    finally:
        await client.aclose()


def account_at(case, sandbox, **settings):
    return case.account(f"{sandbox.url}/{case.provider}", **{"api_key": f"sandbox-{case.provider}-key", **settings})


def request_for(case, marker: str = ""):
    """An order of its own, with the sandbox's markers where that provider's calls carry them."""
    name = f"order-{uuid4().hex}{marker}"
    if "params" in case.order:
        return case.request(order_id=name, params={"user_id": name, "server_id": "server12345"})
    return case.request(order_id=name, price="0.0358619200")


def create_at(sandbox, case, marker: str = "", **settings):
    async def story():
        async with adapters() as providers:
            return await providers[case.provider].create(
                request_for(case, marker), account_at(case, sandbox, **settings)
            )

    return asyncio.run(story())


@ALL
def test_an_order_becomes_an_invoice(sandbox, case):
    evidence = create_at(sandbox, case)
    assert isinstance(evidence, Created)
    assert evidence.provider_ref
    assert evidence.payment_url or evidence.address


def test_nebulox_gives_no_expiry_and_no_price_of_its_own(sandbox):
    evidence = create_at(sandbox, CASES["nebulox"])
    assert isinstance(evidence, Created)
    assert (evidence.price, evidence.expires_at) == (None, None)


def test_0xhost_gives_an_expiry_and_every_digit_of_the_amount(sandbox):
    evidence = create_at(sandbox, CASES["zeroxhost"])
    assert isinstance(evidence, Created)
    assert evidence.lifetime_minutes == Decimal("1.5")
    assert evidence.expires_at is not None
    assert abs(evidence.expires_at - datetime.now(UTC)) < timedelta(minutes=3)
    assert len(str(evidence.pay_amount).partition(".")[2]) == 10


@ALL
def test_a_wrong_key_is_the_credentials_fault(sandbox, case):
    assert isinstance(create_at(sandbox, case, api_key="wrong"), CredentialsRefused)


@ALL
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status=503", InDoubt),
        ("status=422", OrderRefused),
        ("status=404", ProviderRefused),
        ("page", ProviderRefused),
        ("page=400", ProviderRefused),
        ("challenge", ProviderRefused),
        ("challenge=503", ProviderRefused),
        ("inactive", CredentialsRefused),
        ("refused", OrderRefused),
        ("rate_limited=7", RateLimited),
        ("accept_then_timeout", InDoubt),
        ("accept_then_status=500", InDoubt),
        ("truncated", InDoubt),
        ("html", InDoubt),
        ("reset", InDoubt),
        ("not_json_object", InDoubt),
        ("endless", InDoubt),
        ("huge", InDoubt),
        ("garbage", InDoubt),
    ],
)
def test_each_scripted_fault_is_the_evidence_it_should_be(sandbox, case, fault, kind):
    evidence = create_at(sandbox, case, f"~fault:{fault}~", timeout_seconds=1)
    assert isinstance(evidence, kind), evidence
    if isinstance(evidence, RateLimited):
        assert evidence.retry_after_seconds == 7


def test_a_clock_of_the_provider_that_is_off_is_told_with_its_times(sandbox):
    """What is made of them is the domain's: tests/unit/test_provider_clock.py."""
    evidence = create_at(sandbox, CASES["zeroxhost"], "~fault:clock_off=-10800~")
    assert isinstance(evidence, Created)
    assert evidence.made_at is not None
    assert evidence.expires_at is not None
    assert timedelta(hours=2.9) < datetime.now(UTC) - evidence.made_at < timedelta(hours=3.1)
    assert evidence.expires_at - evidence.made_at == timedelta(seconds=90)


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("name", [name for name, case in EVERY.items() if not case.adapter.asked_by_reference])
def test_many_are_looked_up_and_each_is_found(sandbox, count, name):
    case = EVERY[name]

    async def story():
        async with adapters() as providers:
            adapter, account = providers[name], account_at(case, sandbox)
            made = await asyncio.gather(*(adapter.create(request_for(case), account) for _ in range(count)))
            paid = await adapter.create(request_for(case, "~pay:0~"), account)
            refs = [evidence.provider_ref for evidence in made]
            return refs, paid.provider_ref, await adapter.look_up([*refs, paid.provider_ref, "1"], account)

    refs, paid, answers = asyncio.run(story())
    assert all(answers[ref].status is Status.PENDING for ref in refs)
    assert isinstance(answers[paid], Seen)
    assert answers[paid].status in {Status.CONFIRMING, Status.PAID}
    assert isinstance(answers["1"], Unreadable)
