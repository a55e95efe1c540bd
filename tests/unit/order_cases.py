"""What the tests of orders share."""

from __future__ import annotations

import pytest

from domain.order import Order, OrderError, parse_order

GOOD = {"account": "shop", "order_id": "order-1"}


def order(**fields) -> Order:
    return parse_order(GOOD | fields)


def refusal(**fields) -> str:
    with pytest.raises(OrderError) as caught:
        order(**fields)
    return str(caught.value)
