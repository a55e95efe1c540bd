"""Lines of the books: one to change, and any."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from domain.books import PERSON, PROVIDER, Line
from domain.exact_json import write_json

LINE = Line(
    at=datetime(2026, 11, 1, 23, 30, 0, 123456, tzinfo=UTC),
    line=18,
    account="shop",
    provider_account="shop",
    order_id="order-1",
    invoice="inv_01",
    payment=17,
    kind="payment",
    said_by=PROVIDER,
    asset="BTC",
    network="Bitcoin",
    amount=Decimal("0.000000000000000001"),
    assumed_amount=None,
    transaction="cf2e",
    address="bc1q",
    currency="EUR",
    price=Decimal("19.99"),
    status="paid",
    anomaly=None,
    settled_by="look-up",
    by=None,
    reason=None,
    reference="100",
    provider_ref="9a1c",
    event="evt_01",
    metadata='{"cart":7,"note":"a","deep":{"x":1.10}}',
)
#: Names that grammars, spreadsheets and terminals take for something else.
NAMES = (
    *("shop", "Shop", "my_shop", "-x", "0xhost", "日本", "a" * 64, "sp ace", "x:y", "", "é", "=1+1", "+1", "-1", "@x"),
    *(
        "USDT (TRC20)",
        "BTC",
        "btc",
        "TRUE",
        "NULL",
        "X",
        "1INCH",
        "A" * 24,
        "A" * 25,
        "USDT.e",
        "\t=x",
        "a\r\nb",
        '"q"',
    ),
    *("back\\", "\u202ecod", "\x00", "; x", "#tag ^link", "\ud800", "\uff1d1"),
)


def texts():
    return st.one_of(st.sampled_from(NAMES), st.text(max_size=30))


def amounts():
    return st.decimals(Decimal("-1e30"), Decimal("1e30"), allow_nan=False, allow_infinity=False, places=18)


def lines():
    """Any."""
    maybe = st.one_of(st.none(), texts())
    return st.builds(
        lambda amount, assumed, metadata, **fields: replace(
            LINE, amount=amount, assumed_amount=None if amount is not None else assumed, metadata=metadata, **fields
        ),
        amount=st.one_of(st.none(), amounts()),
        assumed=st.one_of(st.none(), amounts()),
        metadata=st.dictionaries(st.sampled_from(["cart", "k"]), st.text(max_size=20)).map(write_json),
        account=texts(),
        order_id=texts(),
        asset=maybe,
        network=maybe,
        transaction=maybe,
        address=maybe,
        reason=maybe,
        by=maybe,
        price=st.one_of(st.none(), st.just(Decimal("12.50"))),
        kind=st.sampled_from(["payment", "refund", "mark", "correction"]),
        said_by=st.sampled_from([PROVIDER, PERSON]),
        at=st.integers(0, 2_000_000_000).map(lambda seconds: LINE.at + timedelta(seconds=seconds - 10**9)),
    )
