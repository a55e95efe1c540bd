"""Spans of real processes, as a collector on loopback gets them: one order is one trace, to its webhook."""

from __future__ import annotations

import json
import signal

import httpx
import pytest

from tests.acceptance.shop import Shops, take
from tests.acceptance.system import System, nebulox_order, running
from tests.acceptance.test_http_orders import new_token
from tests.otlp import Collector

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
SHOPS_SPAN = "00f067aa0ba902b7"
BY_HTTP, BY_MESSAGE, UNRECORDED = "a" * 32, "b" * 32, "c" * 32
#: What only the order knows; none of it belongs into a span.
SECRETS = ("order-by", "19.90", "a buyer", "127.0.0.1", "bc1", "whsec_", "Bearer")
STEPS = {"order.take", "provider.create", "invoice.judge", "event.publish", "webhook.deliver"}


@pytest.fixture
def collector():
    with Collector() as collector:
        yield collector


def order(name):
    return nebulox_order(f"order-by-{name}", price="19.90", metadata={"name": "a buyer"})


def test_an_order_is_one_trace_from_its_request_or_message_to_its_webhook(tmp_path, collector):
    system = System(tmp_path, accounts={"nebulox": {"poll_seconds": 3600}}, cold=True)
    with running(system) as system, Shops({"shop": take}) as shops:
        system.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        system.start("intake", "worker", "web")
        system.command("endpoints", "add", shops.url("shop"), "--json")
        parent = f"00-{BY_HTTP}-{SHOPS_SPAN}-01"
        headers = {"authorization": f"Bearer {new_token(system, 'orders')}", "traceparent": parent, "tracestate": "a=1"}
        url = f"{system.web_url()}/v1/orders"
        sent = httpx.post(url, json=order("http"), headers=headers, timeout=60, trust_env=False)
        assert sent.status_code == 202, sent.text
        for name, trace, flags in (("message", BY_MESSAGE, "01"), ("unrecorded", UNRECORDED, "00")):
            system.publish("invoices.create", order(name), traceparent=f"00-{trace}-{SHOPS_SPAN}-{flags}")
        system.publish("invoices.create", order("none"))
        system.wait_for_statuses(pending=4)
        system.wait_until(lambda: len(shops.arrivals) == 4, "a webhook of each order at the shop")
        both = (BY_HTTP, BY_MESSAGE)
        system.wait_until(
            lambda: all(names_of(collector, trace) >= STEPS for trace in both), "all spans of both orders"
        )
        assert system.errors() == []
        arrived = {one.order_id: one for one in shops.arrivals}
    for trace, name, kind in ((BY_HTTP, "http", SERVER), (BY_MESSAGE, "message", CONSUMER)):
        check_trace(collector, trace, kind, arrived[f"order-by-{name}"])
    assert arrived["order-by-http"].headers["tracestate"] == "a=1"
    # Whoever decided that it is not recorded is obeyed; what came in is passed on all the same.
    assert arrived["order-by-unrecorded"].headers["traceparent"] == f"00-{UNRECORDED}-{SHOPS_SPAN}-00"
    assert [one for one in collector.spans if one.trace_id == UNRECORDED] == []
    assert {one.resource["service.name"] for one in collector.spans} == {"invoices"}
    told = json.dumps([[one.name, one.attributes, one.error, one.resource] for one in collector.spans])
    assert [word for word in SECRETS if word in told] == []


def names_of(collector, trace):
    return {one.name for one in collector.spans if one.trace_id == trace}


def check_trace(collector, trace, kind, webhook):
    """The order's first step is the caller's child, all others are that step's; batches are linked."""
    (taken,) = collector.named("order.take", trace)
    assert (taken.parent, taken.kind) == (SHOPS_SPAN, kind)
    steps = [one for one in collector.spans if one.trace_id == trace and one is not taken]
    assert {one.parent for one in steps} == {taken.span_id}
    assert {one.name for one in steps} | {taken.name} == STEPS
    event = json.loads(webhook.body)
    assert event["traceparent"] == f"00-{trace}-{taken.span_id}-01"
    delivered = {f"00-{trace}-{one.span_id}-01": one for one in collector.named("webhook.deliver", trace)}
    assert delivered[webhook.headers["traceparent"]].attributes["invoices.event_id"] == event["id"]
    for name in ("create.claim", "create.commit", "deliver.commit"):
        batches = [one for one in collector.named(name) if (trace, taken.span_id) in one.links]
        assert batches, name
        assert {one.parent for one in batches} == {""}


@pytest.mark.parametrize("is_on", [False, True], ids=["off", "its collector away"])
def test_without_a_collector_orders_go_their_way_and_so_does_their_trace(tmp_path, is_on):
    system = System(tmp_path, accounts={"nebulox": {"poll_seconds": 3600}}, cold=True)
    with running(system) as system, Shops({"shop": take}) as shops:
        if is_on:
            system.environment |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
            }
        system.start("intake", "worker")
        system.command("endpoints", "add", shops.url("shop"), "--json")
        system.publish("invoices.create", order("message"), traceparent=f"00-{BY_MESSAGE}-{SHOPS_SPAN}-01")
        system.wait_for_statuses(pending=1)
        system.wait_until(lambda: shops.arrivals, "its webhook at the shop")
        system.kill("worker", signal.SIGTERM)
        log = system.log("worker")
        assert system.errors() == []
    (arrived,) = shops.arrivals
    sent = arrived.headers["traceparent"]
    assert sent.split("-")[1] == BY_MESSAGE
    assert (sent.split("-")[2] == SHOPS_SPAN) is not is_on
    assert log.count('"traces.not_sent"') in ({1, 2} if is_on else {0})
