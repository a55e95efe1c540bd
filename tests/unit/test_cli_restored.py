"""`invoices restored`, and how the other commands show an event that tells of no invoice."""

from __future__ import annotations

import pytest

from domain.event import RESTORED
from domain.evidence import Created, Seen
from domain.sequence import MAX_EPOCH
from domain.status import Status
from workers.delivery.secretbox import new_key
from workers.store.judging import Judgement
from workers.store.tables import RESTORATION


@pytest.fixture
def endpoint(invoices, monkeypatch):
    """An endpoint nobody listens at, which wants only what was paid."""
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    (added,) = invoices("endpoints", "add", "http://127.0.0.1:9/hook", "--events", "invoice.paid", "--json").lines
    return added["id"]


def test_a_dry_run_counts_what_would_be_done_and_changes_nothing(invoices, add_order, store, endpoint):
    add_order("waits")
    store.judge([Judgement(add_order("made"), Created(provider_ref="ref-1"))])
    (planned,) = invoices("restored", "--dry-run", "--json").lines
    assert invoices("show", "waits", "--json").lines[0]["status"] == "queued"
    assert [event["type"] for event in invoices("events", "--json").lines] == ["invoice.pending"]

    (done,) = invoices("restored", "--json").lines
    differs = {"dry_run": False, "at": done["at"], "event_id": done["event_id"]}
    assert done == planned | differs
    assert (done["epoch"], done["in_doubt"], done["held"], done["endpoints"]) == (1, 1, 0, 1)
    assert done["cannot_be_asked"] == {"nebulox": 1}


def test_a_person_is_told_what_was_done_and_what_is_left_to_do(invoices, add_order, endpoint):
    add_order("waits")
    invoices("endpoints", "disable", endpoint)
    dry, done = invoices("restored", "--dry-run"), invoices("restored")
    assert dry.out.startswith("dry run: nothing was changed")
    assert (done.code, done.err) == (0, "")
    assert "in doubt   1 orders whose create may have been made: 1 are created again, 0 held" in done.out
    assert "endpoints  1 are told (system.restored), 1 of them once enabled" in done.out
    assert "Lost here" in done.out
    assert "match no invoice" in done.out
    assert max(map(len, done.out.splitlines())) <= 120
    shown = invoices("show", "waits", "--json").lines[0]
    assert (shown["status"], shown["reason"][:25]) == ("in_doubt", "the database was restored")


def test_later_events_have_higher_sequences_in_every_list(invoices, add_order, store):
    invoice_id = add_order("paid-later", account="zeroxhost", price="1", params={"user_id": "1", "server_id": "2"})
    store.judge([Judgement(invoice_id, Created(provider_ref="ref-1"))])
    assert invoices("restored").code == 0
    store.judge([Judgement(invoice_id, Seen(status=Status.PAID, word="Paid"))])
    assert [event["sequence"] for event in invoices("events", invoice_id, "--json").lines] == [
        "000000000001",
        "000001000001",
    ]
    assert invoices("show", invoice_id, "--json").lines[0]["sequence"] == 1_000_001


def test_lists_show_an_event_of_no_invoice_with_neither_invoice_nor_sequence(invoices, store, endpoint):
    (done,) = invoices("restored", "--json").lines
    (event,) = invoices("events", "--json").lines
    assert (event["id"], event["type"]) == (done["event_id"], RESTORED)
    assert RESTORED in invoices("events").out
    (delivery,) = invoices("deliveries", "list", "--json").lines
    assert (delivery["invoice_id"], delivery["sequence"], delivery["type"]) == (None, None, RESTORED)
    assert done["event_id"] not in invoices("deliveries", "list").out
    heading = invoices("deliveries", "show", done["event_id"]).out
    assert f"event     {done['event_id']}  {RESTORED}" in heading
    assert "invoice " not in heading
    replayed = invoices("deliveries", "replay", done["event_id"], "--json").lines
    assert replayed == [{"endpoint_id": endpoint, "events": 1, "waits": False}]
    replayed = invoices("deliveries", "replay", "--endpoint", endpoint, "--type", RESTORED, "--json").lines
    assert [line["events"] for line in replayed] == [1]


def test_when_epochs_are_used_up_it_says_so_in_one_line(invoices, store):
    with store.database.transaction() as connection:
        connection.execute(RESTORATION.insert().values(epoch=MAX_EPOCH, at=store.database.now(connection)))
    refused = invoices("restored")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "invoices: epoch 2000 is the last: sequences can't rise any further\n"


def test_an_epoch_that_the_database_has_forgotten_is_remembered_by_redis(invoices, tmp_path):
    """A backup from before another restore: that one's sequences were told too."""
    backup = invoices.home / "invoices.db"
    old = backup.read_bytes()
    assert [invoices("restored", "--json").lines[0]["epoch"] for _ in range(2)] == [1, 2]
    for path in invoices.home.glob("invoices.db*"):
        path.unlink()
    backup.write_bytes(old)
    assert invoices("restored", "--dry-run", "--json").lines[0]["epoch"] == 3
    assert invoices("restored", "--json").lines[0]["epoch"] == 3


def test_with_redis_away_the_database_is_put_right_and_a_line_says_what_may_be_missing(invoices, monkeypatch):
    monkeypatch.setenv("INVOICES_BROKER_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("INVOICES_SECRET_KEY", new_key())
    done = invoices("restored", "--json")
    assert (done.code, done.lines[0]["epoch"]) == (0, 1)
    assert "run this again with an --epoch above every one" in done.err
    assert done.err.count("\n") == 1
    given = invoices("restored", "--epoch", 7, "--json")
    assert (given.code, given.err, given.lines[0]["epoch"]) == (0, "", 7)
    assert invoices("restored", "--epoch", MAX_EPOCH + 1).code == 2
