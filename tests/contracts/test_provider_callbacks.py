"""One contract for every provider's callbacks: whose signature counts, and what no body can do."""

from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.evidence import CalledBack, Source
from domain.ports import CallbackUnreadable
from domain.status import Status
from tests.contracts.made_up import EVERY, MadeUpStandIn
from tests.contracts.provider_cases import PLAIN_KEY
from workers.embedded.sandbox.invoices import OPEN, PAID, PARTIAL, Invoice
from workers.embedded.sandbox.providers.registry import STAND_INS
from workers.embedded.sandbox.stand_in import StandIn
from workers.providers.call import Call

ALL = pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
PLAYED: tuple[type[StandIn], ...] = (*STAND_INS, MadeUpStandIn)
STYLES = {each.name: each.callbacks for each in PLAYED if each.callbacks is not None}
CALLING = pytest.mark.parametrize("name", STYLES)


@pytest.fixture(scope="module")
def call():
    return cast("Call", None)  # nothing is sent


def invoice_of(name, status):
    return Invoice(
        provider=name,
        ref="r-1",
        number=10_000,
        order_id="o-1",
        subject="o-1",
        request={},
        detail={},
        created_at=1.0,
        expires_at=2,
        pay_amount="0.00150000",
        pay_currency="BTC",
        status=status,
        tx_hash="cf" * 32,
    )


@ALL
def test_a_provider_that_sends_none_has_no_sample_and_believes_none(call, case):
    adapter, account = case.adapter(call), case.account()
    sample = adapter.sample_callback(account)
    assert (sample is None) == (case.provider not in STYLES)
    assert not adapter.verify_callback(b"{}", [], account)
    assert not adapter.verify_callback(b"", [("x-hash", ""), ("made-up-signature", "")], account)


@CALLING
def test_its_sample_is_signed_by_the_accounts_key_and_no_other(call, name):
    case = EVERY[name]
    adapter, account = case.adapter(call), case.account()
    sample = adapter.sample_callback(account)
    assert sample is not None
    assert adapter.verify_callback(sample.body, sample.headers, account)
    assert adapter.verify_callback(sample.body, sample.headers, case.account(api_key="new", previous_api_key=PLAIN_KEY))
    assert not adapter.verify_callback(sample.body, sample.headers, case.account(api_key="another"))
    assert not adapter.verify_callback(sample.body + b" ", sample.headers, account)
    assert not adapter.verify_callback(sample.body, [], account)
    assert not adapter.verify_callback(sample.body, [*sample.headers, *sample.headers], account)
    odd = [(header, value.upper() if value.islower() else f"{value}\u00e9") for header, value in sample.headers]
    assert not adapter.verify_callback(sample.body, odd, account)


@CALLING
@pytest.mark.parametrize(
    ("status", "ours"), [(PAID, Status.PAID), (PARTIAL, Status.PARTIALLY_PAID), (OPEN, Status.PENDING)]
)
def test_what_the_sandbox_posts_is_believed_and_understood(call, name, status, ours):
    case, style, invoice = EVERY[name], STYLES[name], invoice_of(name, status)
    adapter, account = case.adapter(call), case.account()
    body, headers = style.seal(style.write(invoice, style.word_of(invoice), {}), account.api_key.get_secret_value())
    assert adapter.verify_callback(body, list(headers.items()), account)
    said = adapter.read_callback(body)
    assert isinstance(said, CalledBack)
    assert (said.status, said.order_id, said.source) == (ours, "o-1", Source.CALLBACK)
    assert said.reference
    forged, headers = style.seal(style.forge(invoice), f"not {account.api_key.get_secret_value()}")
    assert not adapter.verify_callback(forged, list(headers.items()), account)


BODIES = st.binary() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["orderId", "order", "status", "state", "type", "trackingCode", "id"]), inner)
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@ALL
@given(body=BODIES)
def test_no_body_raises_anything_but_what_says_that_it_can_not_be_read(call, case, body):
    said, words = read(case.adapter(call), body)
    assert said is None or (said.word and said.order_id)
    assert "\n" not in words


def read(adapter, body):
    """(what it says, why it can't be read)."""
    try:
        return adapter.read_callback(body), ""
    except CallbackUnreadable as error:
        return None, str(error)
