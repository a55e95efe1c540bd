"""What operators do leaves a row: who, from where, why, on what, what it was before and after."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import workers.store
from domain.decision import Stage
from domain.evidence import CancelRequested
from domain.status import Status
from tests.contracts.operator_cases import (
    BOB,
    PASSWORD,
    SECRET,
    TOKEN,
    URL,
    doubtful,
    keep_headers,
    old_endpoint,
    parked,
    rejected,
    told,
    told_events,
    unmatched,
)
from tests.contracts.store_cases import (
    ACCOUNT,
    agenda_of,
    change,
    judge,
    now,
    order,
    pend,
    queue,
    rows,
    take,
)
from workers.store.acts import Actor, bare_url
from workers.store.agenda import park
from workers.store.deliveries import DeliveryAttempt
from workers.store.endpoints import NewEndpoint
from workers.store.operate import callbacks, endpoints, invoices, redrive, replay, restoration, secrets
from workers.store.reads.acts import acts_of, list_acts
from workers.store.replay import Choice
from workers.store.tables import ACT, CALLBACK, DELIVERY, ENDPOINT, EVENT, REJECTED


@pytest.fixture
def endpoint(store):
    return old_endpoint(store)


def only(store):
    (act,) = told(store)
    return act


def was_done(act):
    """Whether an act on an invoice that is there was done."""
    assert act is not None
    return act.done


def never(task, text):
    raise AssertionError(f"{task} was sent")


# ------------------------------------------------------------ what a row tells


def test_a_mark_tells_who_from_where_why_on_what_and_what_it_was_before_and_after(database, store):
    (invoice_id,) = pend(store)
    began = now(database)
    done = invoices.mark(store, BOB, invoice_id, invoices.Mark(Status.PAID, Decimal("0.0358619204")))
    assert done is not None
    assert (done.done, done.status_before, done.status) == (True, "pending", "paid")

    act = only(store)
    (row,) = database.read(acts_of, invoice_id)
    assert began <= row.at <= now(database)
    assert {name: act[name] for name in act if name not in {"id", "at"}} == {
        "by": "bob",
        "origin": "cli deploy@host7",
        "act": "invoice.mark",
        "invoice_id": invoice_id,
        "endpoint_id": None,
        "account": ACCOUNT,
        "callback_id": None,
        "message_id": None,
        "reason": "the shop asked for it",
        "before": {"status": "pending"},
        "after": {"status": "paid", "marked_as": "paid", "amount": "0.0358619204", "verdict": "applied"},
    }


def test_a_mark_against_what_is_known_is_an_act_though_it_changes_no_status(store):
    (invoice_id,) = pend(store)
    judge(store, invoice_id, CancelRequested(reason="gone"))
    assert not was_done(invoices.mark(store, BOB, invoice_id, invoices.Mark(Status.PAID)))

    act = only(store)
    assert (act["before"]["status"], act["after"]["status"]) == ("cancelled", "cancelled")
    assert (act["after"]["verdict"], act["after"]["marked_as"]) == ("contradiction", "paid")


def test_each_act_on_an_invoice_is_one_row(store):
    (pending,), queued, doubted = pend(store), queue(store), doubtful(store)
    assert was_done(invoices.recheck(store, BOB, pending))
    assert was_done(invoices.create_again(store, BOB, doubted))
    assert was_done(invoices.cancel(store, BOB, queued))

    assert [(act["act"], act["invoice_id"]) for act in told(store)] == [
        ("invoice.recheck", pending),
        ("invoice.create_again", doubted),
        ("invoice.cancel", queued),
    ]
    assert told(store)[2]["after"]["status"] == "cancelled"


def test_what_changes_nothing_leaves_no_row(database, store, endpoint):
    (paid,) = pend(store)
    judge(store, paid, CancelRequested(reason="gone"))
    assert not was_done(invoices.cancel(store, BOB, paid))
    assert not was_done(invoices.create_again(store, BOB, paid))
    assert invoices.mark(store, BOB, "inv_none", invoices.Mark(Status.PAID)) is None
    assert invoices.recheck(store, BOB, "inv_none") is None
    assert endpoints.enable(store, BOB, endpoint) == 0
    assert not endpoints.disable(store, BOB, "ep_none", "x")
    assert endpoints.enable(store, BOB, "ep_none") is None
    assert endpoints.remove(store, BOB, "ep_none") is None
    assert secrets.rotate(store, BOB, secrets.Rotation("ep_none", "sealed", timedelta(0))) is None
    assert callbacks.link(store, BOB, 1, paid)
    assert not callbacks.dismiss(store, BOB, 1)
    assert redrive.unpark(store, BOB) == 0
    assert list(redrive.send_again(store, BOB, None, never)) == []
    with pytest.raises(ValueError, match=r"there is no invoice\.payed"):
        endpoints.add(store, BOB, NewEndpoint(URL, SECRET, events=["invoice.payed"]))
    assert restoration.survey(store).epoch == 1
    assert told(store) == []


def test_what_happens_by_itself_is_no_operators_act(database, store, endpoint):
    (invoice_id,) = pend(store)
    (delivery,) = store.claim_deliveries(endpoint, 10, 60)
    store.settle([DeliveryAttempt(delivery, "gone", "status: 410", 410, 1, b"")])
    assert rows(database, ENDPOINT)[0].disabled_reason == "status: 410"
    judge(store, invoice_id, CancelRequested(reason="the shop's own message"))
    assert told(store) == []


def test_an_endpoint_s_life_is_told_without_anything_secret(database, store):
    headers = json.dumps({"Authorization": f"sealed {TOKEN}", "X-Shop": PASSWORD})
    given = NewEndpoint(URL, SECRET, ["invoice.paid"], headers, 7)
    added = endpoints.add(store, BOB, given)
    pend(store, 2)
    assert endpoints.disable(store, BOB, added, "moves house")
    assert endpoints.disable(store, BOB, added, "said twice")  # stays as it is: no row
    assert endpoints.enable(store, BOB, added) == 0
    assert secrets.rotate(store, BOB, secrets.Rotation(added, "sealed-whsec-2", timedelta(hours=24)))
    assert secrets.reseal(store, BOB, lambda sealed: f"new-{sealed}", keep_headers) == 1
    assert endpoints.remove(store, BOB, added) == 0

    acts = told(store)
    assert [act["act"].partition(".")[2] for act in acts] == [
        "add", "disable", "enable", "rotate", "reseal", "remove", "removed",
    ]  # fmt: skip
    assert {act["endpoint_id"] for act in acts} == {added}
    assert acts[0]["after"] == {
        "url": "https://shop.example/hook?key=***",
        "events": ["invoice.paid"],
        "accounts": None,
        "headers": ["Authorization: ***", "X-Shop: ***"],
        "max_in_flight": 7,
        "enabled": True,
    }
    assert acts[1]["after"]["disabled_reason"] == acts[2]["before"]["disabled_reason"] == "moves house"
    assert (acts[3]["before"], acts[3]["after"]["signing_secrets"]) == ({"signing_secrets": 1}, 2)
    kept = json.dumps(acts) + repr(rows(database, ACT))
    for secret in (SECRET, "whsec-2", TOKEN, PASSWORD, "Bearer"):
        assert secret not in kept


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://shop.example/a/b", "https://shop.example/a/b"),
        ("https://u:p@shop.example:8443/a", "https://shop.example:8443/a"),
        ("https://token@shop.example/", "https://shop.example/"),
        ("https://shop.example/a?key=k&empty=#frag", "https://shop.example/a?key=***&empty=***"),
        ("https://[2001:db8::1]:443/a?x=1", "https://[2001:db8::1]:443/a?x=***"),
    ],
)
def test_of_an_address_nothing_is_kept_that_may_authorise(url, shown):
    assert bare_url(url) == shown


def test_a_callback_is_linked_or_dismissed_with_its_account(store):
    (invoice_id,) = pend(store)
    number = unmatched(store)
    assert callbacks.link(store, BOB, number, invoice_id) is None
    linked = only(store)
    assert (linked["act"], linked["callback_id"], linked["invoice_id"]) == ("callback.link", number, invoice_id)
    assert (linked["account"], linked["reason"]) == (ACCOUNT, BOB.reason)

    change(store.database, CALLBACK, state="unmatched")
    assert callbacks.dismiss(store, BOB, number)
    assert [act["act"] for act in told(store)] == ["callback.link", "callback.dismiss"]


def test_a_parked_row_tells_whose_it_was(database, store, endpoint):
    invoice_id = parked(store)
    (told_to,) = pend(store)
    with database.transaction() as connection:
        park(connection, Stage.DELIVER, [f"{endpoint}/{told_to}"])
    assert redrive.unpark(store, BOB) == 2

    made, sent = told(store)
    assert (made["invoice_id"], made["account"], made["before"]["stage"]) == (invoice_id, ACCOUNT, "create")
    assert (sent["invoice_id"], sent["endpoint_id"], sent["before"]["stage"]) == (told_to, endpoint, "deliver")
    assert agenda_of(database, invoice_id)["create"].due_at is not None


def test_a_message_is_sent_again_only_after_the_act_is_written(database, store):
    number = rejected(store)
    seen_before: list[object] = []

    def send(task, text):
        seen_before.append((task, text, [act["message_id"] for act in told(store)]))

    assert [one.sent for one in redrive.send_again(store, BOB, [number], send)] == [True]
    assert seen_before == [("invoices.create", "{}", [number])]
    assert rows(database, REJECTED)[0].redriven_at is not None

    def broken(task, text):
        raise ConnectionError("the broker is away")

    change(database, REJECTED, redriven_at=None)
    with pytest.raises(ConnectionError):
        list(redrive.send_again(store, BOB, None, broken))
    assert rows(database, REJECTED)[0].redriven_at is None
    with pytest.raises(redrive.NoSuchMessage):
        list(redrive.send_again(store, BOB, [number, 999], send))
    assert len(told(store)) == 2


def test_a_message_that_got_the_number_of_one_that_was_just_sent_again_still_waits(database, store):
    """The first was removed as old while it was sent. SQLite gives its number out again."""
    number = rejected(store)

    def send(task, text):
        with database.transaction() as connection:
            connection.execute(REJECTED.delete())
        change(database, REJECTED, REJECTED.c.id == rejected(store, "another"), id=number)

    assert [one.sent for one in redrive.send_again(store, BOB, [number], send)] == [True]
    assert [(row.id, row.redriven_at) for row in rows(database, REJECTED)] == [(number, None)]


def test_a_replay_tells_of_each_batch_and_one_event_of_its_invoice(database, store, endpoint, monkeypatch):
    told_events(store, endpoint)
    monkeypatch.setattr(replay, "BATCH", 2)
    job = replay.plan(store, Choice(endpoint, types=["invoice.pending"]))
    assert replay.run(store, BOB, job) == 3
    first, second = told(store)
    assert [first["after"]["events"], second["after"]["events"]] == [2, 1]
    assert first["after"]["of"] == 3
    assert first["after"]["types"] == ["invoice.pending"]

    event_row = rows(database, DELIVERY)[0]
    (chosen,) = [one for one in job.events if one.number == event_row.event_number]
    event_id = next(one.id for one in rows(database, EVENT) if one.number == chosen.number)
    (alone,) = replay.plan_one(store, event_id)
    assert replay.run(store, BOB, alone) == 1
    (act,) = database.read(acts_of, chosen.invoice_id)
    assert (act.act, act.endpoint_id, json.loads(act.after)["event"]) == ("events.replay", endpoint, event_id)


def test_a_restore_is_an_act(store):
    queue(store)
    found, event_id = restoration.restore(store, BOB, lambda _: 0.0)
    act = only(store)
    assert (act["act"], act["after"]["epoch"], act["after"]["event"]) == ("database.restored", found.epoch, event_id)


def test_whatever_somebody_types_can_be_stored(store):
    odd = Actor("b\x00b" + "x" * 200, "o" * 300, "half a pair \ud800, " + "y" * 2000)
    assert was_done(invoices.cancel(store, odd, queue(store)))
    act = only(store)
    assert act["by"].startswith("b\\x00b")
    assert (len(act["by"]), len(act["origin"]), len(act["reason"])) == (100, 200, 1000)


def test_acts_are_found_by_time_invoice_endpoint_and_person(database, store, endpoint):
    ann = Actor("ann", "console")
    one, other = take(store, order("a-1"), order("a-2"))
    for who, invoice_id in ((BOB, one), (ann, other)):
        invoices.cancel(store, who, invoice_id)
    endpoints.disable(store, ann, endpoint, "moves")
    yesterday = now(database) - timedelta(hours=30)
    first = told(store)[0]["id"]
    change(database, ACT, ACT.c.id == first, at=yesterday)

    def found(**given):
        return [row.act for row in list_acts(database, **given)]

    assert found() == ["endpoint.disable", "invoice.cancel", "invoice.cancel"]
    assert found(limit=1) == ["endpoint.disable"]
    assert found(invoice_id=one) == found(by="bob") == ["invoice.cancel"]
    assert found(endpoint_id=endpoint) == ["endpoint.disable"]
    assert found(since=yesterday + timedelta(seconds=1)) == ["endpoint.disable", "invoice.cancel"]
    assert found(until=yesterday + timedelta(seconds=1)) == ["invoice.cancel"]
    assert found(since=now(database) + timedelta(days=3)) == []


def test_rows_are_only_ever_added():
    """Nobody updates or deletes what was written: one module writes the table, and that inserts."""
    writers = []
    for path in sorted(Path(workers.store.__path__[0]).rglob("*.py")):
        text = path.read_text() if path.parent.name != "tables" else ""
        assert not re.search(r"(update|delete)\(ACT\b|\bACT\.(update|delete)", text), path
        if re.search(r"insert\(ACT\b|\bACT\.insert", text):
            writers.append(path)
    assert [path.name for path in writers] == ["acts.py"]
