"""Every fault of the sandbox, seen from a bare socket."""

from __future__ import annotations

import json
import socket
import struct
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from domain.transaction import looks_like_transaction
from tests.contracts.sandbox_client import (
    CREATE_PATHS,
    ZEROXHOST_KEY,
    answer_of,
    calls_of,
    control,
    create_nebulox,
    create_zeroxhost,
    find,
    look_up,
    made_for,
    new_id,
    raw_create,
    read_all,
    send,
    wait_until,
)
from workers.embedded.sandbox.faults import FAULTS, PLACEHOLDERS
from workers.embedded.sandbox.process import SandboxProcess
from workers.embedded.sandbox.providers.zeroxhost import ZeroxHost

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_rules_left(sandbox):
    yield
    control(sandbox, "faults", method="DELETE")


@pytest.fixture(params=list(CREATE_PATHS))
def provider(request):
    return request.param


def test_delay_answers_later(sandbox, provider):
    started = time.monotonic()
    order = new_id("~fault:delay=0.3~")
    assert answer_of(sandbox, provider, order)[0] in (200, 201)
    assert time.monotonic() - started >= 0.3
    assert made_for(sandbox, order, provider) == 1


def test_status_makes_nothing_and_fires_as_often_as_it_says(sandbox, provider):
    order = new_id("~fault:status=503*2,status=418~")
    assert [answer_of(sandbox, provider, order)[0] for _ in range(3)] == [503, 503, 418]
    assert made_for(sandbox, order, provider) == 0
    assert answer_of(sandbox, provider, order)[0] in (200, 201)
    assert made_for(sandbox, order, provider) == 1


def test_inactive_refuses_the_credentials(sandbox, provider):
    order = new_id("~fault:inactive~")
    assert answer_of(sandbox, provider, order)[0] == {"nebulox": 406, "zeroxhost": 401}[provider]


def test_refused_refuses_the_order(sandbox, provider):
    status, _, body = answer_of(sandbox, provider, new_id("~fault:refused~"))
    assert (status, json.loads(body)["message"]) == ({"nebulox": 400, "zeroxhost": 200}[provider], "Order refused")


def test_rate_limited_says_when_to_come_again(sandbox, provider):
    status, head, _ = answer_of(sandbox, provider, new_id("~fault:rate_limited=7~"))
    assert status == 429
    assert "retry-after: 7" in head


def test_accept_then_timeout_makes_the_invoice_and_withholds_the_answer(sandbox, provider):
    order = new_id("~fault:accept_then_timeout~")
    with raw_create(sandbox, provider, order) as connection:
        wait_until(lambda: made_for(sandbox, order, provider) == 1)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert calls_of(sandbox, order)[0]["ended"] == "open"
    ended = wait_until(lambda: [call for call in calls_of(sandbox, order) if call["ended"] != "open"])
    assert (ended[0]["ended"], ended[0]["status"]) == ("client_left", None)


def test_accept_then_timeout_answers_in_the_end_when_the_client_waits(sandbox, provider):
    assert answer_of(sandbox, provider, new_id("~fault:accept_then_timeout=0.2~"))[0] in (200, 201)


def test_accept_then_status_makes_the_invoice_and_denies_it(sandbox, provider):
    order = new_id("~fault:accept_then_status=500~")
    assert answer_of(sandbox, provider, order)[0] == 500
    assert made_for(sandbox, order, provider) == 1


def test_truncated_promises_more_than_it_sends(sandbox, provider):
    order = new_id("~fault:truncated~")
    _, head, body = answer_of(sandbox, provider, order)
    assert 0 < len(body) < int(find(r"content-length: (\d+)", head))
    assert made_for(sandbox, order, provider) == 1


def test_html_comes_instead_of_json(sandbox, provider):
    for order, expected in ((new_id("~fault:html~"), 200), (new_id("~fault:html=502~"), 502)):
        status, head, body = answer_of(sandbox, provider, order)
        assert status == expected
        assert "content-type: text/html" in head
        assert body.startswith(b"<!DOCTYPE html>")


def test_a_proxys_page_or_a_challenge_comes_and_nothing_is_made(sandbox, provider):
    faults = {"~fault:page~": 404, "~fault:page=410~": 410, "~fault:challenge~": 403, "~fault:challenge=503~": 503}
    for fault, expected in faults.items():
        order = new_id(fault)
        status, head, body = answer_of(sandbox, provider, order)
        assert status == expected
        assert "content-type: text/html" in head
        assert ("cf-mitigated: challenge" in head) == ("challenge" in fault)
        assert b"<title>" in body
        assert made_for(sandbox, order, provider) == 0


def test_a_clock_that_is_off_shifts_the_answers_times_and_nothing_else(sandbox, provider):
    order = new_id("~fault:clock_off=7200~")
    status, _, body = answer_of(sandbox, provider, order)
    assert status in {200, 201}
    document = json.loads(body)
    if provider == "zeroxhost":
        assert 7100 < document["data"]["date"] - time.time() < 7300
        assert document["data"]["expired_at"] > document["data"]["date"]
    else:
        made_at = datetime.fromisoformat(document["result"]["created_at"])
        assert 7100 < made_at.timestamp() - time.time() < 7300
    assert made_for(sandbox, order, provider) == 1


@pytest.mark.parametrize(("fault", "new"), [("~fault:new_word~", b"aml_"), ("~fault:new_field~", b'"aml_check"')])
def test_what_no_document_names_comes_with_the_right_answer(sandbox, provider, fault, new):
    order = new_id(fault)
    status, _, body = answer_of(sandbox, provider, order)
    assert status in {200, 201}
    tells_status = provider == "nebulox" or "word" not in fault  # a create of 0xhost's tells no status
    assert (new in body) == tells_status
    assert made_for(sandbox, order, provider) == 1


def test_an_amount_that_is_an_object_comes_with_the_right_answer(sandbox, provider):
    order = new_id("~fault:new_type~")
    document = json.loads(answer_of(sandbox, provider, order)[2])
    told = document["data"]["amount"] if provider == "zeroxhost" else document["result"]["price"]
    assert list(told) == ["value"]
    assert made_for(sandbox, order, provider) == 1


def test_reset_makes_the_invoice_and_resets_the_connection(sandbox, provider):
    order = new_id("~fault:reset~")
    with raw_create(sandbox, provider, order) as connection, pytest.raises(ConnectionResetError):
        read_all(connection)
    assert made_for(sandbox, order, provider) == 1
    assert calls_of(sandbox, order)[0]["ended"] in ("broken_off", "client_left")


def test_garbage_is_no_http(sandbox, provider):
    with raw_create(sandbox, provider, new_id("~fault:garbage~")) as connection:
        assert read_all(connection).startswith(b"\x16\x03\x01")


TOLD = {"nebulox": ("result", "id"), "zeroxhost": ("data", "track_id")}


def ref_of(answer: bytes, provider: str) -> str:
    name, ref = TOLD[provider]
    told: str = json.loads(answer)[name][ref]
    return told


def test_duplicate_tells_of_an_earlier_order_again(provider):
    with SandboxProcess() as fresh:
        _, _, first = answer_of(fresh, provider, new_id())
        answer_of(fresh, provider, new_id())
        order = new_id("~fault:duplicate~")
        _, _, second = answer_of(fresh, provider, order)
        assert ref_of(second, provider) == ref_of(first, provider)
        assert made_for(fresh, order, provider) == 0


@pytest.mark.parametrize("fault", ["accept_then_timeout", "truncated", "reset", "html", "not_json_object"])
def test_duplicate_never_tells_of_an_invoice_whose_own_answer_was_not_given(provider, fault):
    """Nobody could tell whose it is: the order that is answered with it first would keep it."""
    with SandboxProcess() as fresh:
        owner, order = new_id(f"~fault:{fault}~"), new_id("~fault:duplicate~")
        with raw_create(fresh, provider, owner):
            wait_until(lambda: made_for(fresh, owner, provider) == 1)
            _, _, answer = answer_of(fresh, provider, order)
        assert made_for(fresh, order, provider) == 1
        ours = control(fresh, f"invoices?order_id={quote(order)}")[1]["invoices"]
        assert ref_of(answer, provider) == ours[0]["ref"]


def test_not_json_object_is_json_but_no_object(sandbox, provider):
    assert isinstance(json.loads(answer_of(sandbox, provider, new_id("~fault:not_json_object~"))[2]), list)


def test_endless_trickles_until_the_client_leaves(sandbox, provider):
    order = new_id("~fault:endless=0.01~")
    with raw_create(sandbox, provider, order) as connection:
        seen = b""
        while seen.count(b" \r\n") < 5:
            part = connection.recv(65536)
            assert part
            seen += part
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: calls_of(sandbox, order)[0]["ended"] == "client_left")


def test_huge_is_larger_than_anybody_should_read(sandbox, provider):
    _, _, body = answer_of(sandbox, provider, new_id("~fault:huge~"))
    assert len(body) > 2 * 1024 * 1024
    assert isinstance(json.loads(body), dict)


def test_an_echo_makes_no_invoice_and_quotes_the_request(sandbox, provider):
    order = new_id("~fault:echo~")
    status, _, body = answer_of(sandbox, provider, order)
    assert status == 400
    assert f"sandbox-{provider}-key" in json.loads(body)["message"]
    assert made_for(sandbox, order, provider) == 0


@pytest.mark.parametrize("number", range(len(PLACEHOLDERS)))
def test_a_placeholder_stands_where_a_transaction_is_to_be(sandbox, number):
    user = new_id(f"~look_up_fault:placeholder={number}~")
    track = create_zeroxhost(sandbox, user)[1]["data"]["track_id"]
    status, answer = look_up(sandbox, track)
    assert (status, answer["data"]["tx_hash"]) == (200, PLACEHOLDERS[number])
    assert not looks_like_transaction(answer["data"]["tx_hash"])
    assert look_up(sandbox, track)[1]["data"]["tx_hash"] is None


def test_a_create_of_which_no_transaction_is_told_has_no_room_for_a_placeholder(sandbox):
    assert create_zeroxhost(sandbox, new_id("~fault:placeholder~"))[0] == 200


def test_every_fault_has_a_test_and_a_line_in_the_readme():
    tests, readme = Path(__file__).read_text(), (ROOT / "workers/embedded/sandbox/README.md").read_text()
    for name in FAULTS:
        assert f"~fault:{name}" in tests
        assert f"| `{name}` |" in readme


def test_a_fault_rule_fires_as_often_as_asked_on_the_orders_it_matches(sandbox, provider):
    mark = uuid4().hex
    rule = {"provider": provider, "operation": "create", "fault": "status", "argument": 500, "times": 2, "match": mark}
    status, view = control(sandbox, "faults", rule)
    assert (status, view["fired"], view["probability"]) == (200, 0, 1)
    assert answer_of(sandbox, provider, new_id())[0] != 500
    assert [answer_of(sandbox, provider, new_id(mark))[0] == 500 for _ in range(3)] == [True, True, False]
    assert control(sandbox, "faults")[1]["faults"][0]["fired"] == 2
    assert control(sandbox, "faults", method="DELETE") == (200, {"faults": []})


def test_a_fault_rule_may_leave_it_to_chance(sandbox):
    rule = {"provider": "nebulox", "fault": "status", "probability": 0.5, "argument": 500}
    control(sandbox, "faults", rule)
    seen = {create_nebulox(sandbox, new_id())[0] for _ in range(60)}
    assert seen == {201, 500}


def test_look_up_and_list_can_fail_too(sandbox):
    made = create_zeroxhost(sandbox, new_id("~look_up_fault:rate_limited=3~"))[1]["data"]
    assert look_up(sandbox, made["track_id"])[0] == 429
    assert look_up(sandbox, made["track_id"])[0] == 200
    control(sandbox, "faults", {"provider": "zeroxhost", "operation": "list", "fault": "html", "times": 1})
    url = sandbox.zeroxhost_url + "/API/list_transactions"
    assert send(url, headers={"x-api-key": ZEROXHOST_KEY})[1].startswith("<!DOCTYPE html>")
    assert set(ZeroxHost.operation_names()) == {"create", "look_up", "list"}
