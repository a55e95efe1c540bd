"""What the sandbox echoes gets nowhere, in any form; and it plays payments of too much."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from urllib.parse import quote

import pytest

from domain.masking import Mask
from tests.contracts.made_up import EVERY
from tests.contracts.sandbox_client import NEBULOX_KEY, control, create_nebulox, new_id
from tests.contracts.test_providers_on_sandbox import account_at, adapters, request_for, sandbox  # noqa: F401
from workers.embedded.sandbox.faults import ECHOES
from workers.embedded.sandbox.process import SandboxProcess

KINDS = [EVERY["nebulox"], EVERY["zeroxhost"]]


@pytest.fixture(scope="module")
def process():
    with SandboxProcess() as running:
        yield running


def listed(process, order):
    return control(process, f"invoices?order_id={quote(order)}")[1]["invoices"]


@pytest.mark.parametrize("form", range(len(ECHOES)))
@pytest.mark.parametrize("case", KINDS, ids=[kind.provider for kind in KINDS])
def test_a_key_that_a_provider_echoes_stands_in_no_evidence(case, form, sandbox):  # noqa: F811
    account = account_at(case, sandbox)
    key = account.api_key.get_secret_value()

    async def story():
        async with adapters() as made:
            return await made[case.provider].create(request_for(case, f"~fault:echo={form}~"), account)

    evidence = asyncio.run(story())
    kept = f"{evidence.reason} {evidence.raw}"
    assert "can't read" in kept or "can&#x27;t read" in kept
    assert key not in kept
    assert not Mask([key]).finds(kept)


@pytest.mark.parametrize("form", range(len(ECHOES)))
def test_the_echo_holds_the_key_in_each_form(process, form):
    """Otherwise the test above could not fail."""
    answer = create_nebulox(process, new_id(f"~fault:echo={form}~"))[1]
    assert Mask([NEBULOX_KEY]).finds(str(answer["message"]))


def test_more_than_asked_is_paid_by_hand_and_by_a_marker(process):
    order = new_id()
    create_nebulox(process, order)
    (made,) = listed(process, order)
    paid = control(process, "overpay", {"provider": "nebulox", "order_id": order})[1]
    assert paid["status"] == "paid"
    assert Decimal(paid["paid_amount"]) > Decimal(made["pay_amount"])
    named = control(process, "overpay", {"provider": "nebulox", "order_id": order, "paid_amount": "7.5"})[1]
    assert named["paid_amount"] == "7.5"

    marked = new_id("~overpay:0~")
    create_nebulox(process, marked)
    (row,) = listed(process, marked)
    assert (row["status"], Decimal(row["paid_amount"]) > Decimal(row["pay_amount"])) == ("paid", True)
