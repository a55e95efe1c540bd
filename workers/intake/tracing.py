"""The first span of an order: from when it is taken until it is stored or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from domain.order import Order
from domain.tracing import Kind, Span, Tracer
from workers.store.intake import Added

Way = Literal["http", "message"]
_KINDS: dict[Way, Kind] = {"http": "server", "message": "consumer"}

#: Orders, each with its provider's name.
Orders = Sequence[tuple[Order, str]]


def add_traced(tracer: Tracer, add: Callable[[Orders], list[Added]], orders: Orders, way: Way) -> list[Added]:
    """Store orders by ``add``, and raise what it raises. Where spans are recorded each order has one, and its later
    spans are children of that."""
    if not tracer.is_on:
        return add(orders)
    spans = [_begin(tracer, order, way) for order, _ in orders]
    traced = [(order.traced(span.trace), name) for (order, name), span in zip(orders, spans, strict=True)]
    try:
        added = add(traced)
    except Exception as error:
        for span in spans:
            span.end(error=type(error).__name__)
        raise
    for span, one in zip(spans, added, strict=True):
        span.end({"outcome": one.outcome, "invoice_id": one.invoice_id})
    return added


def _begin(tracer: Tracer, order: Order, way: Way) -> Span:
    about = {"account": order.account, "way": way}
    return tracer.begin("order.take", order.trace, about, kind=_KINDS[way], is_first=True)
