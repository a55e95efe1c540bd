"""Messages are read: what is handed over, what is rejected and why."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from workers.intake.message import Accepted, TurnedAway, inspect, message_key

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
FIELDS = {"account": "nebulox", "order_id": "A-1"}


def protocol_2(
    kwargs=None, *, args=(), embed=None, body=None, properties=None, content=("application/json", "utf-8"), **h
):
    headers = {"lang": "py", "task": "invoices.create", "id": "id-1"} | h
    headers = {name: value for name, value in headers.items() if value is not ...}
    if body is None:
        body = json.dumps([list(args), FIELDS if kwargs is None else kwargs, {} if embed is None else embed])
    return inspect(headers, properties or {"delivery_tag": "tag-1"}, body, *content, now=NOW)


def protocol_1(**fields):
    message = {"task": "invoices.create", "id": "id-1", "args": [], "kwargs": FIELDS} | fields
    message = {name: value for name, value in message.items() if value is not ...}
    return inspect({}, {"delivery_tag": "tag-1"}, json.dumps(message).encode(), "application/json", "utf-8", now=NOW)


def fields_of(judged):
    assert isinstance(judged, Accepted), judged
    return json.loads(judged.arguments[0])


def reason_of(judged):
    assert isinstance(judged, TurnedAway), judged
    return judged.reason


@pytest.mark.parametrize(
    ("task", "fields"),
    [("invoices.create", FIELDS), ("invoices.create_many", {"orders": [FIELDS]}), ("invoices.cancel", FIELDS)],
)
def test_both_protocols_come_out_the_same(task, fields):
    new, old = protocol_2(fields, task=task), protocol_1(task=task, kwargs=fields)

    assert (new.task, new.id, fields_of(new), new.arguments[2]) == (task, "id-1", fields, None)
    assert (old.task, old.id, fields_of(old), old.arguments[2]) == (task, "id-1", fields, None)


@pytest.mark.parametrize("fields", [FIELDS, {"metadata": {"ä\n": "€", "n": 1}}, {}, {"price": "\U0001f600"}])
@pytest.mark.parametrize("is_ascii", [True, False])
def test_an_order_s_text_and_key_are_the_same_whether_they_are_made_at_once_or_later(fields, is_ascii):
    body = json.dumps([[], fields, {}], ensure_ascii=is_ascii)
    later = protocol_2(body=body.encode(), expires="2026-11-21T21:00:00Z", traceparent=f"00-{'1' * 32}-{'2' * 16}-01")
    key = message_key({"id": "id-1"}, {"delivery_tag": "tag-1"}, body.encode())
    expires, trace = "2026-11-21T21:00:00+00:00", f"00-{'1' * 32}-{'2' * 16}-01"
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    assert later.arguments == [text, key, expires, trace]
    assert (later.fields, later.text, later.key, later.task_id) == (fields, text, key, "id-1")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda order: pickle.loads(pickle.dumps(order))])
def test_a_copy_of_an_order_s_message_is_as_it_would_be_kept(copied):
    order = protocol_2(expires="2026-11-21T21:00:00Z")
    assert copied(order) == Accepted("invoices.create", "id-1", order.arguments)


@pytest.mark.parametrize("body", [rb'[[], {"order_id": "\ud800"}, {}]', rb'[[], {"metadata": {"\udc00": 1}}, {}]'])
def test_half_of_a_surrogate_pair_is_found_in_what_came_as_bytes(body):
    assert reason_of(protocol_2(body=body)).startswith("body: holds half of a surrogate pair")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_no_json_wherever_it_stands(number):
    refused = protocol_2(body=f'[[], {{"metadata": {{"n": {number}}}}}, {{}}]'.encode())
    assert reason_of(refused).startswith("body: is not JSON")


def test_every_digit_of_a_number_is_kept():
    body = '[[], {"price": 0.1000000000000000055, "n": [1.10, 1E+5, 12345678901234567890123]}, {}]'

    text = protocol_2(body=body).arguments[0]

    assert text == '{"price":0.1000000000000000055,"n":[1.10,1E+5,12345678901234567890123]}'


def test_null_for_no_arguments_is_understood():
    assert fields_of(protocol_1(args=None)) == FIELDS
    assert fields_of(protocol_2(body='[null, {"a": 1}, null]')) == {"a": 1}


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (lambda: protocol_2(id=...), "id: is missing"),
        (lambda: protocol_1(id=...), "id: is missing"),
        (lambda: protocol_2(task=...), "task: neither headers (protocol 2) nor body (protocol 1) name a task"),
        (lambda: protocol_1(task=...), "task: neither headers (protocol 2) nor body (protocol 1) name a task"),
        (lambda: protocol_2(task=None), "task: must be the task's name"),
        (lambda: protocol_2(task=["x"]), "task: must be the task's name"),
        (lambda: protocol_2(task="shop.ship"), "task: there is no task 'shop.ship'; orders go to invoices.create"),
        (lambda: protocol_2(task="invoices.reject"), "task: there is no task 'invoices.reject'"),
        (lambda: protocol_2(task="celery.backend_cleanup"), "task: there is no task 'celery.backend_cleanup'"),
        (lambda: protocol_2(body="{"), "body: is not JSON"),
        (lambda: protocol_2(body="[[], {}, NaN]"), "body: is not JSON"),
        (lambda: protocol_2(body=b"\xff\xfe"), "body: is not UTF-8"),
        (lambda: protocol_2(body=17), "body: must be a text"),
        (lambda: protocol_2(body={"task": "x"}), "body: must be a text"),
        (lambda: protocol_2(body='{"args": []}'), "body: must be [args, kwargs, embed]"),
        (lambda: protocol_2(body="[[], {}]"), "body: must be [args, kwargs, embed]"),
        (lambda: protocol_2(body='"text"'), "body: must be [args, kwargs, embed]"),
        (lambda: protocol_2(body="[[], [], {}]"), "kwargs: must be an object"),
        (lambda: protocol_2(body="[{}, {}, {}]"), "args: must be a list"),
        (lambda: protocol_2(body="[[], {}, []]"), "body: embed (its third item) must be an object"),
        (lambda: protocol_1(kwargs=[1]), "kwargs: must be an object"),
        (lambda: protocol_2(args=[FIELDS], kwargs={}), "args: send the fields as keyword arguments (kwargs)"),
        (lambda: protocol_2(content=("application/x-python-serialize", "binary")), "content-type: must be app"),
        (lambda: protocol_2(content=(None, None)), "content-type: must be application/json, not nothing"),
        (lambda: protocol_2(content=("application/json", "utf-16")), "content-encoding: must be utf-8"),
        (lambda: protocol_2(content=("application/json", 5)), "content-encoding: must be utf-8"),
        (lambda: protocol_2(compression="application/x-gzip"), "compression: compressed bodies are not taken"),
        (lambda: protocol_2(kwargs={"x": "x" * 66_000}), "body: is 66019 bytes, at most 65536"),
        (lambda: protocol_1(kwargs={"x": "x" * 66_000}), "body: is 66074 bytes, at most 65536"),
        (lambda: protocol_2(task="invoices.create_many", body="x" * 8_388_609), "body: is 8388609 bytes"),
        (lambda: protocol_2(body="[[], {}, " + '{"a":' * 40 + "1" + "}" * 40 + "]"), "body: is nested more than"),
        (lambda: protocol_2(body="[" * 60_000), "body: is nested too deeply"),
        (lambda: protocol_2(body=r'[[], {"order_id": "\ud800"}, {}]'), "body: holds half of a surrogate pair"),
        (lambda: protocol_2(eta=(NOW + timedelta(seconds=61)).isoformat()), "eta: lies more than 60 s ahead"),
        (lambda: protocol_1(eta="2026-11-21T21:00:00"), "eta: lies more than 60 s ahead"),
        (lambda: protocol_2(eta="tomorrow"), "eta: is not a time"),
        (lambda: protocol_2(expires=[1]), "expires: must be an ISO 8601 time or epoch seconds"),
        (lambda: protocol_2(expires=1e300), "expires: is not a time"),
        (lambda: protocol_2(task="invoices.run", args=["create"], kwargs={}), "args: invoices.run takes ['stage',"),
        (lambda: protocol_2(task="invoices.run", args=["dance", "x"], kwargs={}), "args: invoices.run takes"),
        (lambda: protocol_2(task="invoices.run", args=["create", 5], kwargs={}), "args: invoices.run takes"),
        (lambda: protocol_2(task="invoices.sweep", args=[1], kwargs={}), "args: invoices.sweep takes []"),
        (lambda: protocol_2(task="invoices.sweep"), "args: invoices.sweep takes [] and no kwargs"),
        (lambda: protocol_2({"orders": []}, task="invoices.create_many"), "orders: must be a list of 1 to 500 orders"),
        (lambda: protocol_1(task="invoices.create_many"), "orders: invoices.create_many takes exactly one field"),
        (lambda: protocol_2({"account": "nebulox"}, task="invoices.cancel"), "order_id: give"),
    ],
)  # fmt: skip
def test_a_message_that_can_not_be_used_says_which_part_is_wrong(judged, reason):
    assert reason_of(judged()).startswith(reason)


def test_a_call_that_can_not_be_used_is_listed_with_the_fields_it_was_sent_with():
    judged = protocol_2({"orders": []}, task="invoices.create_many")

    assert (judged.task, judged.excerpt, judged.complete) == ("invoices.create_many", '{"orders":[]}', True)


def test_a_full_create_many_fits():
    orders = [FIELDS | {"metadata": {"x": "é" * 2_040}}] * 500  # 4 KiB each, 12 as the escapes that json.dumps writes

    assert fields_of(protocol_2({"orders": orders}, task="invoices.create_many")) == {"orders": orders}


def test_doorbells_pass():
    assert protocol_2(task="invoices.run", args=["deliver", "end_1"], kwargs={}).arguments == ["deliver", "end_1"]
    assert protocol_2(task="invoices.sweep", kwargs={}).arguments == []


@pytest.mark.parametrize("eta", ["2026-11-21T20:00:59+00:00", "2026-11-21T20:00:59Z", "2020-01-01T00:00:00", 0])
def test_an_eta_that_is_near_or_past_is_as_good_as_none(eta):
    assert fields_of(protocol_2(eta=eta)) == FIELDS


@pytest.mark.parametrize(
    "expires",
    [
        "2026-11-21T21:00:00+00:00",
        "2026-11-21T21:00:00",
        "2026-11-21T22:00:00.000000000+01:00",
        1795294800,
        1795294800.0,
    ],
)
def test_expires_is_handed_over_as_a_time(expires):
    assert protocol_2(expires=expires).arguments[2] == "2026-11-21T21:00:00+00:00"
    assert protocol_1(expires=expires).arguments[2] == "2026-11-21T21:00:00+00:00"


def test_a_cancellation_does_not_expire():
    assert protocol_2(task="invoices.cancel", expires="nonsense").arguments[2] is None


@pytest.mark.parametrize("task_id", [5, "", "x" * 256, "a\nb", {"a": 1}, "\ud800"])
def test_an_id_that_is_no_text_is_replaced(task_id):
    judged = protocol_2(id=task_id)

    assert isinstance(judged, Accepted)
    assert len(judged.id) == 36


def test_foreign_headers_and_canvas_extras_do_not_matter():
    judged = protocol_2(
        retries="many",
        timelimit=5,
        stamps=[1],
        embed={"callbacks": [{"task": "x"}], "chord": 1, "chain": [2], "errbacks": "y"},
        **{f"x-{n}": "y" * 100 for n in range(1000)},
    )

    assert judged.arguments[0] == '{"account":"nebulox","order_id":"A-1"}'


def test_an_excerpt_is_the_fields_where_they_could_be_read():
    judged = protocol_2(id=...)

    assert (judged.task, judged.excerpt, judged.complete) == (
        "invoices.create",
        '{"account":"nebulox","order_id":"A-1"}',
        True,
    )


def test_a_long_excerpt_is_cut_and_incomplete():
    judged = protocol_2({"x": "x" * 3000}, id=...)

    assert (len(judged.excerpt), judged.complete) == (2048, False)


def test_an_excerpt_of_what_could_not_be_read_is_its_text_without_nul():
    judged = protocol_2(body=b"\x00\xff{")

    assert (judged.excerpt, judged.complete) == ("\ufffd\ufffd{", False)


def test_the_key_is_the_same_for_every_delivery_and_differs_between_messages():
    properties = {"delivery_tag": "tag-1", "correlation_id": "c"}

    key = message_key({"id": "1"}, properties, b"body")

    assert key == message_key({"id": "1", "redelivered": True}, properties | {"priority": 0}, "body")
    assert key != message_key({"id": "1"}, properties | {"delivery_tag": "tag-2"}, b"body")
    assert key != message_key({"id": "1"}, properties, b"other")
    assert len(key) == 64
