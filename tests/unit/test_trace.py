"""The trace that an order belongs to: what is taken of it, and what is passed on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.event import envelope
from domain.order import parse_order
from domain.trace import MAX_TRACE, read_trace, trace_headers, trace_of_event
from tests.unit.test_event import MOMENT, invoice

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def event(**fields) -> bytes:
    return envelope(
        invoice(**fields), event_id="evt_1", event_type="invoice.paid", previous_status="pending", time=MOMENT
    )


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_a_good_one_is_taken_as_it_is(flags):
    assert read_trace(f"00-{TRACE_ID}-{SPAN_ID}-{flags}") == f"00-{TRACE_ID}-{SPAN_ID}-{flags}"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        17,
        b"00",
        "",
        "00",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}-more",
        f"{PARENT}0",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-zz",
        f"{PARENT}\n",
        f"{PARENT}, {PARENT}",
        "00-\u0664bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
    ],
)
def test_a_bad_one_is_none_and_no_error(bad):
    assert read_trace(bad) is None


def test_of_a_later_version_what_this_one_knows_is_taken():
    assert read_trace(f"cc-{TRACE_ID}-{SPAN_ID}-ff-what-will-be") == PARENT


@pytest.mark.parametrize("state", ["a=1", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "1@tenant=x!", 'a="\\ \\"'])
def test_its_state_goes_with_it(state):
    trace = read_trace(PARENT, state)
    assert trace == f"{PARENT} {state}"
    assert trace_headers(trace) == {"traceparent": PARENT, "tracestate": state}


def test_spaces_and_empty_members_of_a_state_are_left_out():
    assert read_trace(PARENT, " a=1 ,, b=2\t,") == f"{PARENT} a=1,b=2"


@pytest.mark.parametrize(
    "state",
    [5, "", ",", "a", "A=1", "a=1,a=2", "a=\u00fc", "a=b=c", f"a={'x' * 257}", ",".join("a=1" * 200), "a=1\r\nb: 2"],
)
def test_a_bad_state_is_left_out_and_the_trace_stays(state):
    assert read_trace(PARENT, state) == PARENT


@given(st.text(), st.text())
def test_whatever_somebody_writes_is_bounded_and_fit_for_a_header(parent, state):
    for trace in (read_trace(parent, state), read_trace(PARENT, state)):
        assert trace is None or (len(trace) <= MAX_TRACE and trace.isascii() and trace.isprintable())


def test_an_event_names_the_trace_as_cloudevents_has_it_and_nothing_without_one():
    traced = json.loads(event(trace=f"{PARENT} a=1"))
    assert (traced["traceparent"], traced["tracestate"]) == (PARENT, "a=1")
    bare = json.loads(event())
    assert traced == bare | {"traceparent": PARENT, "tracestate": "a=1"}


@pytest.mark.parametrize("trace", [PARENT, f"{PARENT} a=1", f'{PARENT} a="\\ \\",b={{'])
def test_an_events_trace_is_found_in_its_bytes(trace):
    assert trace_of_event(event(trace=trace)) == trace


def test_what_only_looks_like_a_trace_in_an_events_bytes_is_none():
    metadata = json.dumps({"x": 1, "traceparent": PARENT, "data": {}}, separators=(",", ":"))
    assert trace_of_event(event(metadata_json=metadata)) is None
    assert trace_of_event(event(account=f'a","traceparent":"{PARENT}","data":{{')) is None
    assert trace_of_event(b"") is None
    assert trace_of_event(b"{}") is None


def test_the_same_order_with_another_trace_is_the_same_order():
    order = parse_order({"account": "shop", "order_id": "1"})
    traced = order.traced(PARENT)
    assert (traced.trace, order.trace, traced.digest()) == (PARENT, None, order.digest())
    assert traced.model_copy(update={"order_id": "2"}).trace == PARENT
