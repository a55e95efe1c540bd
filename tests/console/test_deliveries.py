"""Deliveries, by requests."""

from __future__ import annotations

import re

import pytest

from tests.console.receivers import FAILING, HEALTHY, SWITCHED_OFF
from tests.console.scene import MARKUP
from tests.contracts.store_cases import rows
from workers.store.replay_jobs import find_job
from workers.store.tables import DELIVERY, EVENT, JOB

SCRIPT = "<script>alert(1)</script>"


def of(scene, receiver, state):
    """The number of a delivery."""
    found = rows(scene.database, DELIVERY, DELIVERY.c.endpoint_id == scene.receivers[receiver])
    return next(row.id for row in found if row.state == state)


def numbers(text):
    """Deliveries of a list, in its order."""
    return [int(number) for number in re.findall(r'id="delivery-(\d+)"', text)]


def listed(ground, query="", **options):
    answered = ground.get(f"/console/deliveries{query}", **options)
    assert answered.status_code == 200
    return answered.text


def test_the_list_is_of_all_newest_event_first_with_the_last_answer(ground, scene):
    shown = listed(ground)

    assert "status: 503" in shown
    assert "204 in" in shown
    events = {row.id: row.event_number for row in rows(scene.database, DELIVERY)}
    order = [events[number] for number in numbers(shown)]
    assert order == sorted(order, reverse=True)
    assert SCRIPT not in shown


def test_the_list_is_read_to_its_end_page_by_page_and_each_delivery_is_there_once(ground, scene, monkeypatch):
    monkeypatch.setattr("workers.web.console.deliveries.PAGE", 7)
    for query in ("", f"?endpoint={scene.receivers[HEALTHY]}", "?state=due", "?state=delivered"):
        place, found = f"/console/deliveries{query}", []
        while place:
            text = ground.get(place.replace("&amp;", "&")).text
            found += numbers(text)
            following = re.search(r'href="([^"]+)" rel="next"', text)
            place = following[1] if following else ""
        assert len(found) == len(set(found))
        wanted = {row.id for row in rows(scene.database, DELIVERY) if _matches(scene, row, query)}
        assert set(found) == wanted, query


def _matches(scene, row, query):
    if "endpoint" in query:
        return row.endpoint_id == scene.receivers[HEALTHY]
    if "due" in query:
        return row.state == "due" and row.endpoint_id != scene.receivers[SWITCHED_OFF]
    return "state" not in query or row.state == "delivered"


@pytest.mark.parametrize("state", ["due", "parked", "delivered", "dead"])
def test_the_filter_is_the_address(ground, scene, state):
    shown = listed(ground, f"?state={state}&since=2020-01-01&until=2099-01-01T00:00")
    there = {
        row.id
        for row in rows(scene.database, DELIVERY)
        if row.state == {"parked": "due"}.get(state, state)
        and (
            state in {"dead", "delivered"} or (row.endpoint_id == scene.receivers[SWITCHED_OFF]) == (state == "parked")
        )
    }
    assert there
    assert set(numbers(shown)) <= there
    assert len(numbers(shown)) == min(50, len(there))


def test_one_event_and_one_invoice_are_found(ground, scene):
    invoice = scene.ids["dpkg-48225"]
    event = rows(scene.database, EVENT, EVENT.c.invoice_id == invoice)[-1]

    of_event = numbers(listed(ground, f"?event={event.id}"))
    assert len(of_event) == 2
    assert set(of_event) < set(numbers(listed(ground, f"?invoice={invoice}")))
    assert numbers(listed(ground, f"?invoice={invoice}&type=invoice.paid&endpoint={scene.receivers[HEALTHY]}"))
    assert "No delivery matches" in listed(ground, "?event=evt_none")


@pytest.mark.parametrize(
    "query", ["state=lost", "type=invoice.payed", "since=yesterday", "before=1", "staet=due", "state=due&state=dead"]
)
def test_a_filter_that_can_not_be_used_finds_nothing(ground, query):
    answered = ground.get(f"/console/deliveries?{query}")
    assert answered.status_code == 400
    assert 'id="delivery-' not in answered.text


def test_one_is_shown_with_its_tries_and_the_very_bytes_that_are_sent(ground, scene):
    number = of(scene, FAILING, "dead")
    shown = ground.get(f"/console/deliveries/{number}").text
    row = rows(scene.database, DELIVERY, DELIVERY.c.id == number)[0]
    event = rows(scene.database, EVENT, EVENT.c.number == row.event_number)[0]

    assert "given up" in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert SCRIPT not in shown
    assert event.id in shown
    assert f"{len(event.body)} bytes" in shown
    assert MARKUP not in shown


def test_what_waits_behind_an_older_one_names_it(ground, scene):
    due = rows(scene.database, DELIVERY, DELIVERY.c.state == "due")
    first = {(row.endpoint_id, row.invoice_id) for row in due if row.sequence == 1}
    waiting = next(row for row in due if row.sequence == 2 and (row.endpoint_id, row.invoice_id) in first)
    assert "after sequence 1 of the same invoice" in ground.get(f"/console/deliveries/{waiting.id}").text


def test_who_sees_one_account_sees_deliveries_to_its_endpoints_alone(ground, scene):
    mine, theirs = of(scene, SWITCHED_OFF, "due"), of(scene, FAILING, "due")

    there = rows(scene.database, DELIVERY, DELIVERY.c.endpoint_id == scene.receivers[SWITCHED_OFF])
    assert set(numbers(listed(ground, accounts="nebulox"))) == {row.id for row in there}
    assert numbers(listed(ground, f"?endpoint={scene.receivers[FAILING]}", accounts="nebulox")) == []
    assert ground.get(f"/console/deliveries/{mine}", accounts="nebulox").status_code == 200
    for number in (theirs, 99999, "x", "9" * 30, "²"):
        assert ground.get(f"/console/deliveries/{number}", accounts="nebulox").status_code == 404
    sent = ground.post(f"/console/deliveries/{theirs}/replay", {"reason": "why"}, accounts="nebulox")
    assert sent.status_code == 404


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_one_is_sent_once_more_as_a_job(ground, scene, role):
    number = of(scene, FAILING, "dead")
    assert ground.post(f"/console/deliveries/{number}/replay", {"reason": ""}, role=role).status_code == 422

    answered = ground.post(f"/console/deliveries/{number}/replay", {"reason": "they are back"}, role=role)

    assert answered.status_code == 303
    job = scene.database.read(find_job, answered.headers["location"].rpartition("/")[2])
    assert (job.endpoint_id, job.total) == (scene.receivers[FAILING], 1)
    assert ground.outside.woken == 1


@pytest.mark.parametrize("role", ["viewer", "finance"])
def test_who_may_not_replay_has_no_form_for_it(ground, scene, role):
    number = of(scene, FAILING, "dead")

    assert f"/console/deliveries/{number}/replay" not in ground.get(f"/console/deliveries/{number}", role=role).text
    assert ground.post(f"/console/deliveries/{number}/replay", {"reason": "why"}, role=role).status_code == 403
    assert rows(scene.database, JOB) == []
