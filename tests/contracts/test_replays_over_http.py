"""Deliveries and replays over HTTP: what each token sees, and jobs that any process can go on with."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from domain.permissions import Scope
from tests.contracts.api_cases import add_endpoint
from tests.contracts.operator_cases import told
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, change, judge, pend, queue, rows, seen, subscribe
from workers.store.acts import Actor
from workers.store.callbacks import NewCallback
from workers.store.operate import replay as replays
from workers.store.operate import replay_jobs
from workers.store.operate.invoices import recheck
from workers.store.operate.replay import NoSuchEndpoint
from workers.store.tables import CALLBACK, DELIVERY, EVENT, INVOICE, JOB

# --- deliveries -------------------------------------------------------------------------------------------------------


def test_deliveries_come_newest_first_page_by_page(service, ask):
    endpoint = add_endpoint(ask)["id"]
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
    add_endpoint(ask)
    ours = add_endpoint(ask, accounts=[ACCOUNT])["id"]
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
    endpoint = add_endpoint(ask)["id"]
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


def test_a_limited_token_learns_nothing_of_others_events_and_replays(service, ask):
    store = service.store
    token = service.add_token(Scope.OPERATE, accounts=[ACCOUNT])
    ours, theirs = add_endpoint(ask, accounts=[ACCOUNT])["id"], add_endpoint(ask, accounts=[SILENT_ACCOUNT])["id"]
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
    assert ask("POST", "/v1/replays", json={"endpoint": add_endpoint(ask)["id"]}).status_code == 404
