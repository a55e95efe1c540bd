"""Whatever stands in the broker's list: it is read without harm, and told from an order with a reason.

The list item goes through everything that reads it in a worker: our transport, kombu's consumer, the guard.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import kombu
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kombu.serialization import registry

from domain.order import OrderError, parse_cancellation, parse_order, parse_orders
from tests.bad_messages import KINDS, QUEUE, bad_message, call, call_1, envelope, good_message, order
from workers.intake.message import Accepted, TurnedAway, inspect, message_key, turn_away
from workers.queue.consumer import _why, refuse_compression
from workers.store.storable import storable
from workers.transport.message import Message, read_item, read_record, record_ending, split_record

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def channel():
    """What decodes bodies."""
    refuse_compression()
    with kombu.Connection("memory://") as connection:
        yield connection.channel()


def judge(item, channel):
    """What becomes of a list item, as in a worker's consumer."""
    message = Message(read_item(item, "tag-1", QUEUE), channel=channel)
    assert message.delivery_tag == "tag-1"  # whatever its sender wrote: it can be acknowledged
    if message.errors:
        key = message_key(message.headers, message.properties, message.body)
        error = message.errors[0][1]
        assert isinstance(error, Exception)
        return turn_away(message.body, f"body: {_why(error)}", key)
    parts = message.headers, message.properties, message.body, message.content_type, message.content_encoding
    return inspect(*parts, now=NOW)


def check(judged):
    """It can be listed in any database, or it is an order's text that can be judged."""
    assert json.loads(json.dumps(judged.arguments)) == judged.arguments
    if isinstance(judged, TurnedAway):
        assert judged.reason
        for text in (judged.reason, judged.excerpt, judged.task or ""):
            assert storable(text) == text
        return
    if judged.task.startswith(("invoices.create", "invoices.cancel")):
        text = judged.arguments[0]
        text.encode()
        fields = json.loads(text)
        for parse in (parse_order, parse_cancellation, parse_orders):
            try:
                parse(fields)
            except OrderError as error:
                storable(str(error))


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_every_kind_is_told_by_its_reason_before_or_by_the_order(channel, number):
    _, item, reason = bad_message(number)
    judged = judge(item, channel)
    check(judged)
    if isinstance(judged, TurnedAway):
        assert judged.reason.startswith(reason)


def test_good_ones_are_taken_in_both_protocols(channel):
    for item in (good_message("A-1"), good_message("A-3")):
        judged = judge(item, channel)
        assert isinstance(judged, Accepted)
        assert json.loads(judged.arguments[0])["price"] == "9.90"


def test_nothing_is_ever_unpickled_and_nothing_loads_yaml(channel, monkeypatch):
    read: list[bytes] = []
    for kind in ("application/x-python-serialize", "application/x-yaml"):
        monkeypatch.setitem(registry._decoders, kind, read.append)
    judged = [judge(KINDS[kind][0]("x"), channel) for kind in ("pickle", "yaml", "pickle said to be JSON")]

    assert all(isinstance(one, TurnedAway) for one in judged)  # and this process still lives: see tests.bad_messages
    assert read == []


atoms: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -1, 10**30, 1e308, float("inf"), float("nan"), "", "\0", "\ud800", "9.9", "1e999999", [], {}, [[]]]
    + [{"__type__": kind, "__value__": "1e99999999"} for kind in ("decimal", "datetime", "bytes", "base64", "uuid")]
    + ["invoices.create", "invoices.run", "application/x-python-serialize", "base64", "9999-12-31T23:59:59-14:00"]
)


@st.composite
def spoiled(draw, document):
    """The same with a few of its values replaced, left out, or wrapped."""
    document = json.loads(document)
    for _ in range(draw(st.integers(1, 3))):
        spots = list(places(document))
        if not spots:
            break
        holder, key = draw(st.sampled_from(spots))
        how = draw(st.integers(0, 3))
        if how == 0:
            del holder[key]
        elif how == 1:
            holder[key] = [holder[key]]
        else:
            holder[key] = json.loads(json.dumps(draw(atoms)))  # a copy: it may be changed in its turn
    return document


def places(value):
    """Every (container, key) in it."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def items(draw):
    """A message of either protocol, spoiled within its body, in its envelope, in its bytes, or nowhere."""
    item = draw(
        st.sampled_from([call("A"), call_1("A"), call("A", {"orders": [order("A")]}, task="invoices.create_many")])
    )
    if draw(st.booleans()):
        found = json.loads(item)
        inner = draw(spoiled(base64.b64decode(found["body"])))
        item = envelope(json.dumps(inner).encode(errors="surrogatepass"), headers=found["headers"])
    if draw(st.booleans()):
        item = json.dumps(draw(spoiled(item))).encode(errors="surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(item)))
        item = item[:at] + draw(st.binary(max_size=4)) + item[at + draw(st.integers(0, 30)) :]
    return item


@given(item=items() | st.binary(max_size=100))
@example(item=call("A", compression="application/x-nothing"))
def test_no_list_item_does_harm(channel, item):
    check(judge(item, channel))


@given(item=items() | st.binary(max_size=100))
def test_every_list_item_can_be_put_back(item):
    record = b"[" + item + record_ending(QUEUE).encode()
    if read_record(record) is None:
        assert split_record(record) == (item, QUEUE)
