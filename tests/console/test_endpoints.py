"""Endpoints and what is done to them, by requests."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import timedelta

import pytest

from tests.console.receivers import BOX, FAILING, HEALTHY, SWITCHED_OFF
from tests.contracts.store_cases import OPERATOR, change, now, rows
from tests.contracts.webhook_cases import Receiver
from workers.store.endpoints import NewEndpoint, find_endpoint
from workers.store.operate import endpoints
from workers.store.reads.acts import act_fields, list_acts
from workers.store.replay_jobs import find_job
from workers.store.tables import DELIVERY, ENDPOINT, JOB

VIEWERS, OPERATORS = ["viewer", "finance"], ["operator", "admin"]
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def failing(scene):
    return scene.receivers[FAILING]


def place(endpoint_id, act=""):
    return f"/console/endpoints/{endpoint_id}{act}"


def state_of(scene, endpoint_id):
    return scene.database.read(find_endpoint, endpoint_id)


def newest_act(scene):
    return act_fields(next(iter(list_acts(scene.database, limit=1))))


def test_the_list_says_who_takes_what_and_never_a_token_of_an_address(ground):
    shown = ground.get("/console/endpoints").text

    for words in ("Takes events", "Fails", "Disabled", "hooks.shop.example/eu/invoices?token=***"):
        assert words in shown
    assert "a-secret-token" not in shown
    assert "&lt;b&gt;" in shown


def test_the_list_goes_on_behind_its_last_row(ground, scene):
    new = NewEndpoint("https://many.shop.example/", BOX.seal("whsec_x"))
    for _ in range(20):
        endpoints.add(scene.store, OPERATOR, new)

    first = ground.get("/console/endpoints").text
    assert first.count("data-row") == 20
    following = first.split('rel="next"')[0].rpartition('href="')[2].rstrip('" ')
    assert ground.get(following).text.count("data-row") == 3


def test_the_page_of_one_that_fails_says_since_when_what_comes_and_what_helps(ground, failing):
    shown = ground.get(place(failing)).text

    assert "It fails since" in shown
    assert "failed tries with an answer" in shown
    assert f"invoices endpoints test {failing}" in shown
    assert "not known" in shown.lower()
    assert 'class="down"' in shown
    assert 'class="up"' in shown


def test_what_its_breaker_does_is_told_where_redis_tells(ground, failing):
    ground.breakers[failing] = "open"
    shown = ground.get(place(failing)).text

    assert "The breaker is open." in shown
    assert "One probe within 30 s" in shown
    assert "breaker open" in ground.get("/console/endpoints").text


def test_one_that_takes_events_is_told_as_such(ground, scene):
    shown = ground.get(place(scene.receivers[HEALTHY])).text
    assert "It takes events; the last at" in shown
    assert "What is wrong" not in shown


def test_what_receivers_answer_and_operators_write_is_text(ground, scene, failing):
    shown = ground.get(place(failing)).text + ground.get(place(scene.receivers[SWITCHED_OFF])).text

    assert SCRIPT not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<img src=x" not in shown


@pytest.mark.parametrize("role", VIEWERS)
@pytest.mark.parametrize("page", ["", "/replay"])
def test_who_may_not_change_endpoints_sees_no_form_that_does(ground, failing, role, page):
    answered = ground.get(place(failing, page), role=role)

    if page:
        assert answered.status_code == 403
    assert f'action="{place(failing)}' not in answered.text


@pytest.mark.parametrize("role", VIEWERS)
@pytest.mark.parametrize("act", ["/disable", "/enable", "/rotate", "/test", "/remove", "/replay"])
def test_who_may_not_change_endpoints_is_refused_and_nothing_changes(ground, scene, failing, role, act):
    before = len(list(list_acts(scene.database, limit=0)))
    fields = {"reason": "why", "sure": "yes", "keep": "0", "what": "missed", "seen": "100"}

    assert ground.post(place(failing, act), fields, role=role).status_code == 403
    assert len(list(list_acts(scene.database, limit=0))) == before
    assert state_of(scene, failing).disabled_at is None


@pytest.mark.parametrize("act", ["", "/replay"])
def test_another_accounts_endpoint_is_as_one_that_is_not_there(ground, scene, act):
    mine, theirs = scene.receivers[SWITCHED_OFF], scene.receivers[FAILING]

    assert ground.get(place(mine, act), accounts="nebulox").status_code == 200
    for one in (theirs, "ep_none", "../../etc"):
        answered = ground.get(place(one, act), accounts="nebulox")
        assert answered.status_code == 404
    shown = ground.get("/console/endpoints", accounts="nebulox").text
    assert mine in shown
    assert theirs not in shown


@pytest.mark.parametrize("act", ["/disable", "/enable", "/rotate", "/test", "/remove"])
def test_another_accounts_endpoint_can_not_be_changed(ground, failing, act):
    fields = {} if act == "/test" else {"reason": "why"}
    assert ground.post(place(failing, act), fields, accounts="nebulox").status_code == 404


@pytest.mark.parametrize("role", OPERATORS)
def test_one_is_disabled_with_a_reason_and_enabled_again(ground, scene, failing, role):
    answered = ground.post(place(failing, "/disable"), {"reason": f"they move {SCRIPT}"}, role=role)

    assert answered.status_code == 303
    assert answered.headers["location"] == f"{place(failing)}?done=disabled"
    assert state_of(scene, failing).disabled_reason == f"they move {SCRIPT}"
    act = newest_act(scene)
    assert (act["act"], act["by"], act["origin"]) == ("endpoint.disable", "j.brandt", "console 10.4.2.17")
    shown = ground.get(answered.headers["location"]).text
    assert "none is dropped" in shown
    assert SCRIPT not in shown

    assert ground.post(place(failing, "/disable"), {"reason": "again"}, role=role).status_code == 409
    assert ground.post(place(failing, "/enable"), {"reason": "they are back"}, role=role).status_code == 303
    assert state_of(scene, failing).disabled_at is None
    assert ground.outside.reset == [failing]
    assert newest_act(scene)["reason"] == "they are back"


@pytest.mark.parametrize("act", ["disable", "rotate", "remove"])
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_without_a_reason_that_can_be_kept_the_form_is_shown_again(ground, scene, failing, act, reason):
    more = {"remove": {"sure": "yes"}, "rotate": {"keep": "24"}}.get(act, {})
    answered = ground.post(place(failing, f"/{act}"), {"reason": reason} | more)

    assert answered.status_code == 422
    assert f'id="{act}" open' in answered.text
    assert state_of(scene, failing).disabled_at is None


def test_a_new_secret_is_shown_once_and_the_old_one_signs_for_as_long_as_was_chosen(ground, scene, failing):
    answered = ground.post(place(failing, "/rotate"), {"reason": "it leaked", "keep": "24"})

    assert answered.status_code == 200
    endpoint = state_of(scene, failing)
    secret = BOX.open(endpoint.sealed_secrets[0])
    assert secret in answered.text
    assert len(endpoint.sealed_secrets) == 2
    assert endpoint.rotated_until > now(scene.database) + timedelta(hours=23)
    assert secret not in ground.get(place(failing)).text
    assert secret not in json.dumps(newest_act(scene), default=str)
    assert ground.post(place(failing, "/rotate"), {"reason": "it leaked", "keep": "9999"}).status_code == 422


def test_a_test_is_sent_to_the_receiver_and_what_came_back_is_shown_as_text(ground, scene):
    async def try_it():
        async def answer(reader, writer):
            writer.write(b"HTTP/1.1 418 Teapot\r\ncontent-length: 25\r\n\r\n" + SCRIPT.encode())

        async with Receiver(answer) as receiver:
            new = NewEndpoint(f"http://127.0.0.1:{receiver.port}/hook", BOX.seal("whsec_MDEyMzQ1Njc4OWFiY2RlZg=="))
            endpoint_id = endpoints.add(scene.store, OPERATOR, new)
            loop = asyncio.get_running_loop()
            answered = await loop.run_in_executor(
                None, lambda: ground.post(place(endpoint_id, "/test"), {"send": "yes"})
            )
            return answered, receiver.requests

    answered, requests = asyncio.run(try_it())

    assert answered.status_code == 200
    assert "The test was not taken: status: 418" in answered.text
    assert SCRIPT not in answered.text
    assert "&lt;script&gt;" in answered.text
    ((_, headers, body),) = requests
    assert json.loads(body)["type"] == "invoices.test"
    assert "webhook-signature" in {name.lower() for name in headers}


def test_one_whose_secret_does_not_open_is_told_so(ground, scene, failing):
    change(scene.database, ENDPOINT, ENDPOINT.c.id == failing, secrets="sealed with another key")
    answered = ground.post(place(failing, "/test"), {"send": "yes"})

    assert answered.status_code == 409
    assert "invoices doctor" in answered.text


def test_one_is_removed_only_by_who_says_that_its_events_may_be_lost(ground, scene, failing):
    assert ground.post(place(failing, "/remove"), {"reason": "the shop is closed"}).status_code == 422
    assert state_of(scene, failing) is not None

    answered = ground.post(place(failing, "/remove"), {"reason": "the shop is closed", "sure": "yes"})
    assert answered.headers["location"] == "/console/endpoints?done=removed"
    assert state_of(scene, failing) is None
    assert rows(scene.database, DELIVERY, DELIVERY.c.endpoint_id == failing) == []


def test_one_is_added_and_its_secret_shown_once(ground, scene):
    fields = {"url": "http://127.0.0.1:9/hook", "type:invoice.paid": "yes", "account:nebulox": "yes"}
    fields |= {"header:1": "X-Shop: eu", "header:3": "X-Key: a-value", "max_in_flight": "7", "reason": "a new shop"}
    answered = ground.post("/console/endpoints/add", fields)

    assert answered.status_code == 201
    added = rows(scene.database, ENDPOINT)[-1]
    assert (added.url, added.events, added.max_in_flight) == (fields["url"], "invoice.paid", 7)
    assert json.loads(added.accounts) == ["nebulox"]
    assert BOX.open(added.secrets) in answered.text
    assert "a-value" not in ground.get(place(added.id)).text
    assert "X-Key" in ground.get(place(added.id)).text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "https://169.254.169.254/"}, "url: "),
        ({"url": "ftp://127.0.0.1/"}, "url: "),
        ({"url": ""}, "url: "),
        ({"header:1": "no colon"}, "header"),
        ({"header:2": "Host: elsewhere"}, "ost"),
        ({"max_in_flight": "0"}, "max_in_flight"),
        ({"max_in_flight": "many"}, "max_in_flight"),
        ({"reason": ""}, "Say why"),
    ],
)
def test_one_that_can_not_be_is_told_why_and_nothing_typed_is_lost(ground, scene, fields, said):
    good = {"url": "http://127.0.0.1:9/hook", "max_in_flight": "7", "reason": "a new shop"}
    before = len(rows(scene.database, ENDPOINT))
    answered = ground.post("/console/endpoints/add", good | fields | {"type:invoice.paid": "yes"})

    assert answered.status_code == 422
    assert said in answered.text
    assert 'value="yes" checked' in answered.text
    assert len(rows(scene.database, ENDPOINT)) == before


def test_who_sees_one_account_adds_endpoints_for_that_one_alone(ground, scene):
    fields = {"url": "http://127.0.0.1:9/hook", "max_in_flight": "7", "reason": "a new shop"}
    assert (
        ground.post("/console/endpoints/add", fields | {"account:zeroxhost": "yes"}, accounts="nebulox").status_code
        == 400
    )
    assert ground.post("/console/endpoints/add", fields, accounts="nebulox").status_code == 201
    assert json.loads(rows(scene.database, ENDPOINT)[-1].accounts) == ["nebulox"]


@pytest.mark.parametrize("role", VIEWERS)
def test_who_may_not_add_endpoints_has_no_form_for_it(ground, role):
    assert ground.get("/console/endpoints/add", role=role).status_code == 403
    assert "/console/endpoints/add" not in ground.get("/console/endpoints", role=role).text


@pytest.mark.parametrize(
    ("what", "flags"),
    [
        ("missed", (False, True, False)),
        ("newest", (False, True, True)),
        ("dead", (True, False, False)),
        ("all", (False, False, False)),
    ],
)
def test_a_replay_is_looked_at_and_then_begun_as_it_was_seen(ground, scene, failing, what, flags):
    shown = ground.get(place(failing, f"/replay?what={what}")).text
    seen = shown.split('name="seen" value="')[1].split('"')[0]
    answered = ground.post(place(failing, "/replay"), {"what": what, "seen": seen, "reason": "they are back"})

    assert answered.status_code == 303
    job = scene.database.read(find_job, answered.headers["location"].rpartition("/")[2])
    assert (job.choice.dead_only, job.choice.missed_only, job.choice.newest_only) == flags
    assert str(job.total) == seen
    assert (job.actor.name, job.actor.reason) == ("j.brandt", "they are back")
    assert ground.outside.woken == 1
    assert ground.get(answered.headers["location"]).status_code == 200


def test_a_replay_of_much_more_than_was_seen_is_not_begun(ground, scene, failing):
    answered = ground.post(place(failing, "/replay"), {"what": "all", "seen": "0", "reason": "they are back"})

    assert answered.status_code == 409
    assert rows(scene.database, JOB) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "since: must be a time"),
        ("since=2026-11-29T20:00&until=2026-11-28T20:00", "until must be later than since"),
        ("what=everything", "there are missed"),
    ],
)
def test_a_replay_that_can_not_be_meant_says_why(ground, failing, query, said):
    answered = ground.get(place(failing, f"/replay?{query}"))
    assert answered.status_code == 422
    assert said in answered.text


def test_the_command_of_a_replay_says_the_same(ground, failing):
    shown = ground.get(place(failing, "/replay?what=newest&type:invoice.paid=yes&since=2026-11-29T20:00")).text
    assert f"--endpoint {failing} --type invoice.paid --since 2026-11-29T20:00:00Z --missed-only --newest-only" in shown


@pytest.mark.parametrize(("act", "place_after"), [("enable", "?done=enabling"), ("remove", "?done=removing")])
def test_what_takes_longer_than_a_request_may_is_said_to_go_on(ground, scene, monkeypatch, act, place_after):
    """The database is slow: whoever asked is answered before it is done."""
    begun, ended = threading.Event(), threading.Event()
    slow = getattr(endpoints, act)

    def slowly(*arguments):
        begun.set()
        assert ended.wait(60)
        return slow(*arguments)

    monkeypatch.setattr("workers.web.console.console.STORE_SECONDS", 0.5)
    monkeypatch.setattr(endpoints, act, slowly)
    endpoint_id = scene.receivers[SWITCHED_OFF]
    answered = ground.post(
        place(endpoint_id, f"/{act}"), {"reason": "why"} | ({"sure": "yes"} if act == "remove" else {})
    )
    ended.set()

    assert begun.is_set()
    assert answered.headers["location"].endswith(place_after)
