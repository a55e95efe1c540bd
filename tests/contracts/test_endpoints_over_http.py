"""Endpoints, deliveries and replays over HTTP: what each token sees, and jobs that any process can go on with."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from domain.permissions import Scope
from tests.contracts.api_cases import KEY
from tests.contracts.operator_cases import told
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, change, judge, pend, queue, rows, seen, subscribe
from workers.delivery.secretbox import SecretBox
from workers.store.acts import Actor
from workers.store.callbacks import NewCallback
from workers.store.endpoints import find_endpoint
from workers.store.operate import replay as replays
from workers.store.operate import replay_jobs
from workers.store.operate.invoices import recheck
from workers.store.operate.replay import NoSuchEndpoint
from workers.store.tables import CALLBACK, DELIVERY, EVENT, INVOICE, JOB

URL = "http://127.0.0.1:9/hook"


def add(ask, **fields):
    answered = ask("POST", "/v1/endpoints", json={"url": URL} | fields)
    assert answered.status_code == 201, answered.text
    return answered.json()


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_an_added_one_tells_its_secret_once(service, ask):
    made = ask("POST", "/v1/endpoints", json={"url": URL, "events": ["invoice.paid"], "headers": {"X-Shop": "pa55"}})

    fields = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/endpoints/{fields['id']}")
    endpoint = service.store.database.read(find_endpoint, fields["id"])
    box = SecretBox([KEY])
    assert [box.open(one) for one in endpoint.sealed_secrets] == [fields["secret"]]
    shown = ask("GET", made.headers["location"]).json()
    assert shown == {name: value for name, value in fields.items() if name != "secret"}
    assert (shown["events"], shown["headers"], shown["accounts"]) == (["invoice.paid"], ["X-Shop"], None)
    assert ask("GET", "/v1/endpoints").json() == {"endpoints": [shown]}
    (act,) = [one for one in told(service.store) if one["act"] == "endpoint.add"]
    assert act["by"] == "a service"
    assert fields["secret"] not in str(act)
    assert "pa55" not in made.text + str(act)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "http://shop.example/"}, "#/url"),
        ({"url": "https://10.0.0.1/"}, "#/url"),
        ({"url": 7}, "#/url"),
        ({"events": ["invoice.nothing"]}, "#/events"),
        ({"events": []}, "#/events"),
        ({"headers": {"webhook-id": "x"}}, "#/headers"),
        ({"max_in_flight": 0}, "#/max_in_flight"),
        ({"accounts": ["nobody"]}, "#/accounts"),
        ({"colour": "red"}, "#/colour"),
    ],
)
def test_one_that_can_not_be_is_422_with_a_pointer(ask, fields, pointer):
    answered = ask("POST", "/v1/endpoints", json={"url": URL} | fields)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])


def test_each_of_its_settings_can_be_changed_and_the_others_stay(service, ask):
    made = add(ask, events=["invoice.paid"], headers={"X-Shop": "pa55"}, max_in_flight=5, accounts=[ACCOUNT])
    path, secret = f"/v1/endpoints/{made['id']}", made.pop("secret")
    steps: list[dict[str, Any]] = [
        {"url": "http://127.0.0.1:9/moved"},
        {"events": ["invoice.expired", "invoice.paid"]},
        {"events": None},
        {"headers": {"X-Other": "w0rd"}},
        {"headers": None},
        {"max_in_flight": 7},
        {"accounts": [SILENT_ACCOUNT]},
        {"accounts": None},
    ]
    for fields in steps:
        ((name, value),) = fields.items()
        made[name] = sorted(value or {}) if name == "headers" else value
        changed = ask("PATCH", path, json=fields | {"reason": "a new receiver"})
        assert (changed.status_code, changed.json()) == (200, made), fields
    box, endpoint = SecretBox([KEY]), service.store.database.read(find_endpoint, made["id"])
    assert [box.open(one) for one in endpoint.sealed_secrets] == [secret]
    acts = [one for one in told(service.store) if one["act"] == "endpoint.change"]
    assert len(acts) == len(steps)
    assert {one["reason"] for one in acts} == {"a new receiver"}
    assert "pa55" not in str(acts)
    assert "w0rd" not in str(acts)


def test_a_whole_number_may_be_written_with_a_point(ask):
    body = f'{{"url": "{URL}", "max_in_flight": 147.0}}'
    made = ask("POST", "/v1/endpoints", content=body, headers={"content-type": "application/json"})
    assert (made.status_code, made.json()["max_in_flight"]) == (201, 147)

    for written in ("147.5", "1e400", "-1.0"):
        body = f'{{"url": "{URL}", "max_in_flight": {written}}}'
        refused = ask("POST", "/v1/endpoints", content=body, headers={"content-type": "application/json"})
        assert refused.json()["errors"][0]["pointer"] == "#/max_in_flight"


def test_what_is_planned_goes_by_the_settings_of_the_moment(service, ask):
    endpoint = add(ask, events=["invoice.paid"])["id"]
    pend(service.store)
    assert rows(service.store.database, DELIVERY) == []

    ask("PATCH", f"/v1/endpoints/{endpoint}", json={"events": ["invoice.*"], "accounts": [SILENT_ACCOUNT]})
    pend(service.store)
    (invoice,) = pend(service.store, account=SILENT_ACCOUNT)

    assert [row.invoice_id for row in rows(service.store.database, DELIVERY)] == [invoice]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "#/url"),
        ({"reason": "none"}, "#/url"),
        ({"url": "https://10.0.0.1/"}, "#/url"),
        ({"events": ["invoice.nothing"]}, "#/events"),
        ({"events": []}, "#/events"),
        ({"headers": {"webhook-id": "x"}}, "#/headers"),
        ({"max_in_flight": None}, "#/max_in_flight"),
        ({"accounts": ["nobody"]}, "#/accounts"),
        ({"secret": "x"}, "#/secret"),
    ],
)
def test_a_change_that_can_not_be_is_422_with_a_pointer_and_changes_nothing(ask, fields, pointer):
    made = add(ask)
    path, _ = f"/v1/endpoints/{made['id']}", made.pop("secret")

    answered = ask("PATCH", path, json=fields)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])
    assert ask("GET", path).json() == made


def test_one_is_switched_off_and_on_and_removed(service, ask):
    endpoint = add(ask)["id"]
    pend(service.store)
    off = ask("POST", f"/v1/endpoints/{endpoint}/disable", json={"reason": "a new address"}).json()
    assert (off["disabled_reason"], off["waiting"]) == ("a new address", 1)
    on = ask("POST", f"/v1/endpoints/{endpoint}/enable", json={"reason": "it is there"}).json()
    assert (on["disabled_at"], service.reset) == (None, [endpoint])
    assert ask("DELETE", f"/v1/endpoints/{endpoint}").status_code == 204
    assert ask("GET", f"/v1/endpoints/{endpoint}").status_code == 404
    assert ask("DELETE", f"/v1/endpoints/{endpoint}").status_code == 404
    assert rows(service.store.database, DELIVERY) == []


def test_a_limited_token_sees_and_makes_only_endpoints_of_its_accounts(service, ask):
    token = service.add_token(Scope.OPERATE, accounts=[ACCOUNT])
    for_all, theirs = add(ask)["id"], add(ask, accounts=[SILENT_ACCOUNT])["id"]
    both, ours = add(ask, accounts=[ACCOUNT, SILENT_ACCOUNT])["id"], add(ask, accounts=[ACCOUNT])["id"]
    made = ask("POST", "/v1/endpoints", json={"url": URL}, token=token).json()

    assert made["accounts"] == [ACCOUNT]
    seen = ask("GET", "/v1/endpoints", token=token).json()["endpoints"]
    assert [one["id"] for one in seen] == [ours, made["id"]]
    for hidden in (for_all, theirs, both):
        assert ask("GET", f"/v1/endpoints/{hidden}", token=token).status_code == 404
        assert ask("DELETE", f"/v1/endpoints/{hidden}", token=token).status_code == 404
        assert ask("PATCH", f"/v1/endpoints/{hidden}", json={"max_in_flight": 1}, token=token).status_code == 404
        body = {"endpoint": hidden}
        assert ask("POST", "/v1/replays", json=body, token=token).status_code == 404
        assert ask("GET", f"/v1/deliveries?endpoint={hidden}", token=token).status_code == 404
    other = {"url": URL, "accounts": [SILENT_ACCOUNT]}
    assert ask("POST", "/v1/endpoints", json=other, token=token).status_code == 403
    assert ask("PATCH", f"/v1/endpoints/{ours}", json=other, token=token).status_code == 403
    widened = ask("PATCH", f"/v1/endpoints/{ours}", json={"accounts": None}, token=token)
    assert widened.json()["accounts"] == [ACCOUNT], "as for a new one of this token"


# --- deliveries -------------------------------------------------------------------------------------------------------


def test_deliveries_come_newest_first_page_by_page(service, ask):
    endpoint = add(ask)["id"]
    ids = pend(service.store, 5)
    first = ask("GET", f"/v1/deliveries?endpoint={endpoint}&state=due&limit=3")
    second = ask("GET", first.links["next"]["url"])

    found = first.json()["deliveries"] + second.json()["deliveries"]
    assert [one["invoice_id"] for one in found] == ids[::-1]
    assert (first.json()["next"], second.json()["next"]) == (str(found[2]["id"]), None)
    assert ask("GET", "/v1/deliveries?state=dead").json()["deliveries"] == []
    assert len(ask("GET", f"/v1/deliveries?invoice={ids[0]}").json()["deliveries"]) == 1
    assert ask("GET", "/v1/deliveries?state=lost").status_code == 400
    assert ask("GET", "/v1/deliveries?endpoint=ep_none").status_code == 404


def test_a_limited_token_sees_deliveries_and_times_of_its_endpoints_only(service, ask):
    token = service.add_token(Scope.READ, accounts=[ACCOUNT])
    add(ask)
    ours = add(ask, accounts=[ACCOUNT])["id"]
    (invoice_id,) = pend(service.store)

    seen = ask("GET", "/v1/deliveries", token=token).json()["deliveries"]
    assert [one["endpoint_id"] for one in seen] == [ours]
    assert len(ask("GET", "/v1/deliveries").json()["deliveries"]) == 2
    entries = ask("GET", f"/v1/invoices/{invoice_id}/timeline", token=token).json()["timeline"]
    assert [one["source"] for one in entries] == ["order", "create", "event"]
    theirs = queue(service.store, SILENT_ACCOUNT)
    assert ask("GET", f"/v1/invoices/{theirs}/timeline", token=token).status_code == 404


def test_a_limited_token_sees_no_callback_that_may_be_about_another_s_order_and_not_where_operators_sat(service, ask):
    store, token = service.store, service.add_token(Scope.READ, accounts=[ACCOUNT])
    (invoice_id,) = pend(store)
    (row,) = rows(store.database, INVOICE)
    said = {"order_id": row.order_id, "reference": None, "word": "PAID", "amount": None}
    for digest in ("a", "b"):
        told_of = NewCallback(account=row.provider_account, digest=digest, body=digest.encode(), headers="{}", **said)
        store.keep_callbacks([told_of])
    change(store.database, CALLBACK, CALLBACK.c.digest == "a", invoice_id=invoice_id, state="matched")
    recheck(store, Actor("ann", "cli ann@host-7"), invoice_id)

    def shown(**how):
        entries = ask("GET", f"/v1/invoices/{invoice_id}/timeline", **how).json()["timeline"]
        acts = [one["text"] for one in entries if (one["ref"] or "").startswith("act ")]
        return [one["raw"] for one in entries if one["source"] == "callback"], acts

    assert shown() == (["a", "b"], ["ann (cli ann@host-7): invoice.recheck"])
    assert shown(token=token) == (["a"], ["ann: invoice.recheck"])


# --- replays ----------------------------------------------------------------------------------------------------------


def begin(ask, endpoint, **fields):
    answered = ask("POST", "/v1/replays", json={"endpoint": endpoint} | fields)
    assert answered.status_code == 202, answered.text
    return answered


def test_a_replay_is_a_job_that_ends(service, ask):
    pend(service.store, 3)
    endpoint = subscribe(service.store.database)  # added after the events
    begun = begin(ask, endpoint, types=["invoice.pending"], reason="it lost its database")

    assert begun.headers["location"] == f"/v1/replays/{begun.json()['id']}"
    assert (begun.json()["state"], begun.json()["events"], begun.json()["sent"]) == ("running", 3, 0)
    service.served.jobs.work()
    shown = ask("GET", begun.headers["location"]).json()
    assert (shown["state"], shown["sent"]) == ("done", 3)
    assert shown["finished_at"] is not None
    assert len(rows(service.store.database, DELIVERY)) == 3
    (act,) = [one for one in told(service.store) if one["act"] == "events.replay"]
    assert (act["by"], act["reason"], act["after"]["events"]) == ("a service", "it lost its database", 3)


def test_one_event_is_sent_by_its_id(service, ask):
    pend(service.store, 2)
    endpoint = subscribe(service.store.database)
    event = rows(service.store.database, EVENT)[0]
    begin(ask, endpoint, event=event.id)
    service.served.jobs.work()

    assert [row.event_number for row in rows(service.store.database, DELIVERY)] == [event.number]


def test_only_the_newest_event_of_each_invoice_is_sent_where_that_is_asked(service, ask):
    store = service.store
    for invoice_id in pend(store, 2):
        judge(store, invoice_id, seen("paid"))
    endpoint = subscribe(store.database)
    begun = begin(ask, endpoint, newest_only=True)
    service.served.jobs.work()

    assert begun.json()["events"] == 2
    paid = [row.number for row in rows(store.database, EVENT) if row.type == "invoice.paid"]
    assert sorted(row.event_number for row in rows(store.database, DELIVERY)) == sorted(paid)


def test_only_what_the_endpoint_does_not_have_is_sent_where_that_is_asked(service, ask):
    endpoint = subscribe(service.store.database)
    pend(service.store, 3)
    had, dead, _waiting = rows(service.store.database, DELIVERY)
    with service.store.database.transaction() as connection:
        for delivery, state in ((had, "delivered"), (dead, "dead")):
            connection.execute(update(DELIVERY).where(DELIVERY.c.id == delivery.id).values(state=state))

    assert begin(ask, endpoint, missed_only=True).json()["events"] == 2
    assert begin(ask, endpoint, dead_only=True).json()["events"] == 1


def test_nothing_to_send_is_done_at_once(service, ask):
    begun = begin(ask, subscribe(service.store.database))

    assert (begun.json()["state"], begun.json()["events"]) == ("done", 0)


def test_a_job_that_a_dead_process_left_is_gone_on_with_where_it_was(service, ask, monkeypatch):
    monkeypatch.setattr(replay_jobs, "BATCH", 2)
    pend(service.store, 5)
    endpoint = subscribe(service.store.database)
    job = begin(ask, endpoint).json()["id"]
    batches = []

    def die(connection, database, choice, events):
        batches.append(len(events))
        if len(batches) == 2:
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("away"))
        return replays.send(connection, database, choice, events)

    monkeypatch.setattr(replay_jobs, "send", die)
    service.served.jobs.work()
    assert ask("GET", f"/v1/replays/{job}").json()["sent"] == 2
    service.served.jobs.work()  # somebody's lease is on it
    assert len(batches) == 2
    with service.store.database.transaction() as connection:
        long_ago = service.store.database.now(connection) - timedelta(minutes=5)
        connection.execute(update(JOB).values(leased_until=long_ago))
    service.served.jobs.work()

    shown = ask("GET", f"/v1/replays/{job}").json()
    assert (shown["state"], shown["sent"]) == ("done", 5)
    assert len(rows(service.store.database, DELIVERY)) == 5


def test_one_whose_endpoint_is_removed_fails_and_says_so(service, ask):
    pend(service.store)
    endpoint = add(ask)["id"]
    job = begin(ask, endpoint).json()["id"]
    ask("DELETE", f"/v1/endpoints/{endpoint}")
    service.served.jobs.work()

    shown = ask("GET", f"/v1/replays/{job}").json()
    assert (shown["state"], shown["why"]) == ("failed", "the endpoint is gone")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"types": ["invoice.nothing"]}, "#/types"),
        ({"event": "evt_none"}, "#/event"),
        ({"since": "2026-11-21T20:19:00Z", "until": "2026-11-21T20:19:00Z"}, "#/until"),
        ({"event": "evt_none", "types": ["invoice.paid"]}, "#/types"),
        ({"event": "evt_none", "newest_only": True}, "#/newest_only"),
        ({"dead_only": "yes"}, "#/dead_only"),
    ],
)
def test_what_can_not_be_replayed_is_422_with_a_pointer(service, ask, fields, pointer):
    answered = ask("POST", "/v1/replays", json={"endpoint": subscribe(service.store.database)} | fields)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("/v1/replays", {"endpoint": "ep", "dead_only": "yes"}, "dead_only: must be true or false"),
        ("/v1/endpoints", {"url": URL, "headers": {"webhook-id": "x"}}, "headers: webhook-id may not be set"),
        ("/v1/endpoints", None, "the body must be an object, not null"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(ask, path, fields, says):
    answered = ask("POST", path, content=json.dumps(fields), headers={"content-type": "application/json"})
    assert answered.json()["detail"] == says


def test_a_limited_token_learns_nothing_of_others_events_and_replays(service, ask):
    store = service.store
    token = service.add_token(Scope.OPERATE, accounts=[ACCOUNT])
    ours, theirs = add(ask, accounts=[ACCOUNT])["id"], add(ask, accounts=[SILENT_ACCOUNT])["id"]
    service.pend(queue(store, SILENT_ACCOUNT))
    (event,) = rows(store.database, EVENT)
    job = begin(ask, theirs).json()["id"]

    def refused(event_id, **how):
        return ask("POST", "/v1/replays", json={"endpoint": ours, "event": event_id}, **how).json()

    assert refused(event.id, token=token) == refused("evt_none", token=token)
    assert refused(event.id) == refused("evt_none")
    there, nowhere = (ask("GET", f"/v1/replays/{one}", token=token) for one in (job, "rpl_none"))
    assert there.status_code == 404
    assert there.json() == nowhere.json()


def test_an_endpoint_that_is_removed_meanwhile_is_404(service, ask, monkeypatch):
    def gone(*_):
        raise NoSuchEndpoint("ep")

    monkeypatch.setattr("workers.web.api.deliveries.begin", gone)
    assert ask("POST", "/v1/replays", json={"endpoint": add(ask)["id"]}).status_code == 404


def test_who_may_not_is_403(service, ask):
    reader = service.add_token(Scope.READ)
    endpoint = add(ask)["id"]

    assert ask("POST", "/v1/endpoints", json={"url": URL}, token=reader).status_code == 403
    assert ask("DELETE", f"/v1/endpoints/{endpoint}", token=reader).status_code == 403
    assert ask("POST", "/v1/replays", json={"endpoint": endpoint}, token=reader).status_code == 403
    assert ask("GET", "/v1/replays/rpl_none").status_code == 404
