"""The sandbox answers as the documents say, until a fault makes it send something new."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tests.contracts.made_up import EVERY, MadeUpStandIn
from tests.contracts.provider_cases import CASES
from tests.contracts.sandbox_thread import serve_sandbox
from tests.contracts.test_providers_on_sandbox import account_at, adapters, request_for
from workers.embedded.sandbox.application import Options
from workers.embedded.sandbox.coins import COINS
from workers.embedded.sandbox.invoices import Invoice
from workers.embedded.sandbox.providers.nebulox.callbacks import write_body
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.providers.call import Call
from workers.providers.nebulox.callbacks import read_callback
from workers.stages import DriftWatch


@pytest.fixture(scope="module")
def sandbox():
    with serve_sandbox(Options(lifetime_seconds=90), [*STAND_INS, MadeUpStandIn]) as served:
        yield served


def news_at(sandbox, case, marker="", look_ups=1, orders=1):
    """What is new in the answers to creates and look-ups."""

    async def story():
        account = account_at(case, sandbox)
        async with adapters() as providers:
            provider, watch = providers[case.provider], DriftWatch({"main": account}, providers)
            made = [await provider.create(request_for(case, marker), account) for _ in range(orders)]
            refs = [one.provider_ref for one in made]
            found = {} if provider.asked_by_reference else await provider.look_up(refs[-look_ups:], account)
            return [new for said in (*made, *found.values()) for new in watch.look("main", said).news]

    return [new.sentence for new in asyncio.run(story())]


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
def test_it_sends_nothing_that_is_not_documented(sandbox, case):
    assert news_at(sandbox, case) == []


def test_nor_in_its_list_whatever_the_coin(sandbox):
    assert news_at(sandbox, CASES["zeroxhost"], look_ups=8, orders=2 * len(COINS)) == []


def test_a_new_status_is_seen_in_a_create_and_in_a_look_up(sandbox):
    assert news_at(sandbox, CASES["nebulox"], "~fault:new_word~") == ["nebulox sends a status it never sent: aml_hold"]
    assert news_at(sandbox, CASES["zeroxhost"], "~look_up_fault:new_word~") == [
        "zeroxhost sends a status it never sent: aml_hold"
    ]


def test_a_new_field_and_a_new_type_are_seen_where_they_are(sandbox):
    assert news_at(sandbox, CASES["nebulox"], "~fault:new_field~") == [
        "nebulox sends a field it never sent: result.aml_check (create)"
    ]
    assert news_at(sandbox, CASES["zeroxhost"], "~look_up_fault:new_field~") == [
        "zeroxhost sends a field it never sent: data.aml_check (look-up)"
    ]
    assert news_at(sandbox, CASES["zeroxhost"], "~look_up_fault:new_type~") == [
        "zeroxhost sends data.amount as an object, which it never did (look-up)"
    ]


@pytest.mark.parametrize("symbol", COINS)
@pytest.mark.parametrize("word", ["PENDING", "PARTIAL", "COMPLETED", "EXPIRED"])
def test_its_callbacks_are_as_documented(symbol, word):
    assert news_in_callback(word, {}, symbol) == []


def test_new_things_in_a_callback_are_seen():
    assert news_in_callback("COMPLETED", {"new_word": 0, "new_field": 0}) == [
        "nebulox sends a status it never sent: aml_hold",
        "nebulox sends a field it never sent: amlCheck (callback)",
    ]


def news_in_callback(word, quirks, symbol="BTC"):
    invoice = Invoice(
        provider="nebulox",
        ref="r",
        number=7,
        order_id="1",
        subject="1",
        created_at=0.0,
        expires_at=60,
        pay_amount="0.00010000",
        pay_currency=symbol,
        request={},
        detail={},
    )
    case = CASES["nebulox"]
    watch = DriftWatch({"main": case.account()}, {"nebulox": case.adapter(cast("Call", None))})
    said = read_callback(write_body(invoice, word, quirks))
    assert said is not None
    return [new.sentence for new in watch.look("main", said).news]
