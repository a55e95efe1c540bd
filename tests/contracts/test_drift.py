"""What is new in providers' answers is kept once, told once and counted, whoever dies or comes second."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import OperationalError

from domain.decision import Stage
from domain.drift import Novelty, more_of
from domain.evidence import CalledBack
from domain.status import Status
from domain.why import first_cause, why_fields
from tests.contracts.store_cases import (
    ACCOUNT,
    OPERATOR,
    SILENT_ACCOUNT,
    Background,
    created,
    deliveries_of,
    in_threads,
    invoice_of,
    now,
    open_store,
    order,
    pend,
    rows,
    seen,
    subscribe,
    take,
)
from tests.contracts.test_watched_rows import Watch
from workers.store import drifts
from workers.store.callbacks import NewCallback
from workers.store.judging import Judgement
from workers.store.operate.drift import accept
from workers.store.reads.drift import drift_fields, drifts_of, list_drifts, open_drifts
from workers.store.reads.why.order import Around, read_facts
from workers.store.tables import ACT, DRIFT, DRIFT_INVOICE, EVENT

WORD = Novelty(ACCOUNT, "0xhost", "word", "", "status", "aml_hold")
FIELD = Novelty(ACCOUNT, "0xhost", "field", "look-up", "data.aml", "")


@pytest.fixture
def store(database):
    return open_store(database)


def bring(store, invoice_id, *news, word="pending"):
    """An answer that has this."""
    evidence = dataclasses.replace(seen(word), news=news)
    return store.judge_and_take([Judgement(invoice_id, evidence)], None)


def told(database):
    """The events that tell of it, in their order."""
    return [json.loads(row.body) for row in rows(database, EVENT, EVENT.c.type == "provider.drift")]


def listed(database, **chosen):
    return database.read(list_drifts, **chosen)


def test_what_is_new_is_kept_and_told_once_with_the_invoices_that_have_it(database, store):
    invoices = pend(store, 12)
    for invoice_id in invoices * 2:
        bring(store, invoice_id, WORD)
    bring(open_store(database), invoices[0], WORD)  # another process learns what is known
    (event,) = told(database)
    assert (event["subject"], event["source"]) == (ACCOUNT, f"/invoices/{ACCOUNT}")
    assert "sequence" not in event
    (row,) = listed(database)
    assert drift_fields(row) == {
        "id": row.id,
        "account": ACCOUNT,
        "provider": "0xhost",
        "kind": "word",
        "call": None,
        "field": "status",
        "value": "aml_hold",
        "text": "0xhost sends a status it never sent: aml_hold",
        "since": event["data"]["since"],
        "event": event["id"],
        "accepted_at": None,
        "invoices": 12,
        "last_at": drift_fields(row)["last_at"],
    }
    assert event["data"]["drift"] == row.id
    assert event["data"]["invoice"] == invoices[0]
    assert event["data"]["text"] == "0xhost sends a status it never sent: aml_hold"
    assert [one.value for one in database.read(drifts_of, invoices[7])] == ["aml_hold"]


def test_only_endpoints_that_name_it_are_sent_it(database, store):
    chosen, every = subscribe(database, ["provider.drift"]), subscribe(database)
    (invoice_id,) = pend(store)
    bring(store, invoice_id, WORD)
    sent = deliveries_of(database, told(database)[0]["id"])
    assert [delivery.endpoint_id for delivery in sent] == [chosen]
    assert every != chosen


def test_what_is_known_costs_no_sql(database, store):
    (invoice_id,) = pend(store)
    bring(store, invoice_id, WORD)
    statements = []
    sqlalchemy_event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    bring(store, invoice_id, WORD)
    assert statements
    assert not [one for one in statements if "drift" in one]


def test_two_workers_that_learn_the_same_at_once_tell_it_once(database):
    first, second = open_store(database), open_store(database)
    invoices = pend(first, 20)
    news = [FIELD, WORD]
    halves = (first, invoices[::2], news), (second, invoices[1::2], news[::-1])

    def learn(store, some, found):
        for invoice_id in some:
            bring(store, invoice_id, *found)

    in_threads(*(lambda half=half: learn(*half) for half in halves))
    for invoice_id in invoices:  # whoever found the other one at it brings it with its next answer
        bring(first, invoice_id, *news)
    assert sorted(event["data"]["kind"] for event in told(database)) == ["field", "word"]
    assert [row.invoices for row in listed(database)] == [20, 20]


def test_a_worker_that_dies_while_it_learns_leaves_nothing_and_the_next_tells_it(database, store, monkeypatch):
    (invoice_id,) = pend(store)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(drifts, "add_events", die)
        with pytest.raises(KeyboardInterrupt):
            bring(store, invoice_id, WORD, word="paid")
    assert (listed(database), told(database), invoice_of(database, invoice_id).status) == ([], [], "pending")
    bring(open_store(database), invoice_id, WORD, word="paid")
    assert (len(listed(database)), len(told(database))) == (1, 1)
    assert invoice_of(database, invoice_id).status == "paid"


def test_a_worker_that_dies_between_learning_and_judging_has_told_it_once(database, store, monkeypatch):
    (invoice_id,) = pend(store)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("workers.store.judging.judge", die)
        with pytest.raises(KeyboardInterrupt):
            bring(store, invoice_id, WORD, word="paid")
    assert invoice_of(database, invoice_id).status == "pending"
    bring(open_store(database), invoice_id, WORD, word="paid")
    assert len(told(database)) == 1
    assert invoice_of(database, invoice_id).status == "paid"


def test_an_answer_counts_though_what_is_new_in_it_can_not_be_kept(database, store, monkeypatch):
    (invoice_id,) = pend(store)

    def fail(*_args, **_kwargs):
        raise OperationalError("INSERT", {}, Exception("no room"))

    with monkeypatch.context() as patched:
        patched.setattr(drifts, "_learn", fail)
        bring(store, invoice_id, WORD, word="paid")
    assert invoice_of(database, invoice_id).status == "paid"
    bring(store, invoice_id, WORD)
    assert len(told(database)) == 1


def test_an_outsider_that_learns_and_never_ends_holds_up_no_payment(database, store):
    if not database.is_postgresql:
        pytest.skip("SQLite has one writer at a time: who holds it holds up all")
    (invoice_id,) = pend(store)
    with database.transaction() as connection:
        row = WORD._asdict() | {"since": now(database), "event_id": "evt_0", "accepted_at": None}
        connection.execute(DRIFT.insert().values(**row))
        Background(lambda: bring(store, invoice_id, WORD, word="paid")).result()
        assert invoice_of(database, invoice_id).status == "paid"
        connection.rollback()
    bring(store, invoice_id, WORD)
    assert len(told(database)) == 1


def test_an_account_tells_of_so_much_and_then_that_there_is_more(database, store, monkeypatch):
    monkeypatch.setattr(drifts, "MOST_OPEN", 3)
    monkeypatch.setattr(drifts, "FULL_SECONDS", 0.0)
    news = [WORD._replace(value=f"word {letter}") for letter in "abcdefgh"]
    (invoice_id,) = pend(store)
    bring(store, invoice_id, *news[:2])
    bring(store, invoice_id, *news)
    bring(open_store(database), invoice_id, *news)
    assert sorted(event["data"]["kind"] for event in told(database)) == ["more"] + ["word"] * 3
    other = WORD._replace(account="another", value="word a")
    bring(store, invoice_id, other)
    assert len(told(database)) == 5
    assert accept(store, OPERATOR, [], ACCOUNT) == 4
    bring(store, invoice_id, *news)
    again = [event["data"] for event in told(database)][5:]
    assert sorted(one["value"] for one in again if one["kind"] == "word") == ["word d", "word e", "word f"]
    assert [one["text"] for one in again if one["kind"] == "more"] == [more_of(WORD, 0).sentence]
    bring(open_store(database), invoice_id, *news)
    assert len(told(database)) == 9
    assert accept(store, OPERATOR, [], ACCOUNT) == 4
    more = [WORD._replace(value=f"word {letter}") for letter in "ijklm"]
    bring(store, invoice_id, *more)
    assert [event["data"]["kind"] for event in told(database)][9:].count("more") == 1


def test_invoices_are_counted_up_to_a_bound(database, store, monkeypatch):
    monkeypatch.setattr(drifts, "MOST_INVOICES", 3)
    for invoice_id in pend(store, 6):
        bring(store, invoice_id, WORD)
    assert len(rows(database, DRIFT_INVOICE)) == 3


def test_what_is_accepted_is_no_alarm_and_is_not_told_again(database, store):
    first, second = pend(store, 2)
    bring(store, first, WORD, FIELD)
    assert {(row.kind, row.open) for row in database.read(open_drifts)} == {("word", 1), ("field", 1)}
    (number,) = [row.id for row in listed(database) if row.kind == "word"]
    assert accept(store, OPERATOR, [number, 999]) == 1
    assert accept(store, OPERATOR, [number]) == 0
    bring(open_store(database), second, WORD)
    assert [row.kind for row in listed(database)] == ["field"]
    assert sorted(row.kind for row in listed(database, accepted_too=True, account=ACCOUNT)) == ["field", "word"]
    assert listed(database, account="another") == []
    assert database.read(drifts_of, second) == []
    assert len(told(database)) == 2
    (act,) = rows(database, ACT)
    assert (act.act, act.by, act.account) == ("drift.accept", OPERATOR.name, ACCOUNT)


def call_back(store, order_id, *news):
    body = json.dumps([order_id, len(news)]).encode()
    digest = hashlib.sha256(body).hexdigest()
    said = {"order_id": order_id, "reference": None, "word": "aml_hold", "amount": None}
    store.keep_callbacks([NewCallback(account=ACCOUNT, digest=digest, body=body, headers="{}", **said)])
    evidence = CalledBack(status=Status.PAID, word="Paid", order_id=order_id, news=news)
    return store.judge_callbacks(store.claim(Stage.CALLBACK, ACCOUNT, 10, 60), lambda *_: evidence)


def test_a_callback_tells_it_with_its_invoice_and_is_judged(database, store):
    (invoice_id,) = take(store, order("A-1"))
    store.judge([Judgement(invoice_id, created())])
    matches = call_back(store, "A-1", WORD).matches
    assert [one.judgements[0].invoice_id for one in matches] == [invoice_id]
    (event,) = told(database)
    assert event["data"]["invoice"] == invoice_id
    assert [row.invoices for row in listed(database)] == [1]


def test_a_callback_that_matches_nothing_tells_it_too(database, store):
    (match,) = call_back(store, "nobody's", WORD).matches
    assert match.reason == "no invoice of this account has its order id"
    (event,) = told(database)
    assert event["data"]["invoice"] is None
    assert [row.invoices for row in listed(database)] == [0]


def test_why_and_the_metrics_tell_it_until_it_is_accepted(database, store):
    first, second = pend(store, 2)
    bring(store, first, WORD, FIELD)
    around = Around({}, lambda _: None, lambda _: {})

    def why(invoice_id):
        return first_cause(database.read(read_facts, database, invoice_id, around))

    assert [words.partition(", since ")[0] for words in why(first).drift] == [
        "0xhost sends a field it never sent: data.aml (look-up)",
        "0xhost sends a status it never sent: aml_hold",
    ]
    assert why(second).drift == []
    assert list(why_fields(why(first))) == ["cause", "text", "since", "next_at", "next", "command"]
    watch = Watch(database).look()
    shown = [watch("provider_drift_open", account=account) for account in (ACCOUNT, SILENT_ACCOUNT)]
    assert shown == [2.0, 0.0]
    assert accept(store, OPERATOR, [], ACCOUNT) == 2
    assert why(first).drift == []
