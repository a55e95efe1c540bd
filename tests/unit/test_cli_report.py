"""`invoices report`, as an accountant types it."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest import mock

import pytest
from sqlalchemy import update

from domain.evidence import Created, Seen
from domain.status import Status
from workers.store.tables import INVOICE, PAYMENT

TX = "cf2e" * 16


@pytest.fixture
def paid(add_order, judge):
    """An order that was paid."""

    def make(order_id="order-1", amount="0.0358619204", account="zeroxhost", **fields):
        invoice_id = add_order(order_id, account=account, **fields)
        made = Created(provider_ref=f"ref-{order_id}", pay_amount=Decimal("0.0358619204"), pay_currency="BTC")
        told = Seen(status=Status.PAID, word="Paid", tx_hash=TX, paid_amount=Decimal(amount))
        judge(invoice_id, made, told)
        return invoice_id

    return make


@pytest.fixture
def booked_at(store):
    """Moves every line to a time."""

    def move(at):
        with store.database.transaction() as connection:
            connection.execute(update(PAYMENT).values(booked_at=at))

    return move


def rows(ran):
    assert ran.code == 0, ran.err
    return list(csv.DictReader(io.StringIO(ran.out, newline=""), strict=True))


def test_a_payment_is_a_row_with_what_is_known_of_it(invoices, paid):
    invoice_id = paid()
    (row,) = rows(invoices("report", "payments"))
    known = {name: value for name, value in row.items() if value}
    times = {name: known.pop(name) for name in ("time", "time_utc")}
    assert times["time"].replace("+00:00", "Z") == times["time_utc"]
    assert known.pop("event").startswith("evt_")
    assert known == {
        "line": "1",
        "account": "zeroxhost",
        "provider_account": "zeroxhost",
        "order_id": "order-1",
        "invoice": invoice_id,
        "payment": "1",
        "kind": "payment",
        "said_by": "provider",
        "asset": "BTC",
        "amount": "0.0358619204",
        "transaction": TX,
        "currency": "EUR",
        "price": "12.50",
        "status": "paid",
        "settled_by": "look-up",
        "provider_ref": "ref-order-1",
    }


def test_the_same_report_twice_is_the_same_bytes_in_every_format(invoices, paid):
    paid("order-1")
    paid("order-2")
    for form in ("csv", "jsonl", "beancount"):
        asked = ("report", "payments", "--to", "2100-01-01", "--format", form)
        assert invoices(*asked).out == invoices(*asked).out != ""


def test_json_has_amounts_as_texts_and_nothing_else_on_standard_output(invoices, paid):
    paid()
    (line,) = invoices("report", "payments", "--json", "--metadata", "cart").lines
    assert (line["amount"], line["price"], line["assumed_amount"], line["fee"]) == ("0.0358619204", "12.50", None, None)
    assert line["metadata.cart"] is None


def test_metadata_is_told_by_its_keys(invoices, paid):
    paid(metadata={"cart": 7, "note": "=1+1", "deep": {"x": Decimal("1.10")}})
    (row,) = rows(invoices("report", "payments", *["--metadata", "cart", "--metadata", "note", "--metadata", "deep"]))
    assert (row["metadata.cart"], row["metadata.note"], row["metadata.deep"]) == ("7", "'=1+1", '{"x":1.10}')


def test_what_somebody_wrote_is_no_formula_and_stays_in_its_cell(invoices, paid, store):
    name = '=HYPERLINK("http://x")'
    paid(name)
    with store.database.transaction() as connection:
        connection.execute(update(INVOICE).values(address='a "quoted",\r\nüñ'))
    (row,) = rows(invoices("report", "payments"))
    assert (row["order_id"], row["address"]) == (f"'{name}", 'a "quoted",\r\nüñ')


def test_a_mark_has_who_and_why_and_its_sum_is_apart(invoices, paid, add_order, judge):
    paid()
    marked = add_order("order-2", account="zeroxhost")
    judge(marked, Created(provider_ref="ref-2", pay_amount=Decimal(1), pay_currency="BTC"))
    assert invoices("mark", "order-2", "paid", "--reason", "bank", "--by", "ada", "--amount", "0.9").code == 0
    assert invoices("mark", "order-1", "refunded", "--reason", "sent back", "--by", "bob").code == 0
    payment, mark, refund = invoices("report", "payments", "--json").lines
    assert (mark["kind"], mark["by"], mark["reason"], mark["amount"]) == ("mark", "ada", "bank", "0.9")
    assert (payment["kind"], payment["by"]) == ("payment", None)
    assert (refund["kind"], refund["by"], refund["assumed_amount"]) == ("refund", "bob", "-0.0358619204")
    totals = invoices("report", "payments", "--totals", "--json").lines
    assert [tuple(one.values()) for one in totals] == [
        ("zeroxhost", "mark", "person", "BTC", 1, "0.9", None),
        ("zeroxhost", "payment", "provider", "BTC", 1, "0.0358619204", None),
        ("zeroxhost", "price", "person", "EUR", 1, "12.50", None),
        ("zeroxhost", "price", "provider", "EUR", 1, "12.50", None),
        ("zeroxhost", "refund", "person", "BTC", 1, None, "-0.0358619204"),
    ]


@pytest.mark.parametrize(
    ("at", "first", "second"),
    [
        # The days on which Berlin's clocks change have 23 and 25 hours.
        (datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC), "2026-03-28", "2026-03-29"),
        (datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC), "2026-03-29", "2026-03-30"),
        (datetime(2026, 10, 25, 22, 59, 59, 999_999, tzinfo=UTC), "2026-10-25", "2026-10-26"),
    ],
)
def test_a_day_is_the_zones_from_its_first_instant_on(invoices, paid, booked_at, at, first, second):
    paid()
    for moment, day in ((at, first), (at + timedelta(seconds=1), second)):
        booked_at(moment)
        ends = {day: str((datetime.fromisoformat(day) + timedelta(days=1)).date()) for day in (first, second)}
        found = [
            start
            for start, end in ends.items()
            if rows(invoices("report", "payments", "--from", start, "--to", end, "--zone", "Europe/Berlin"))
        ]
        assert found == [day]


def test_local_times_have_the_zones_offset(invoices, paid, booked_at):
    paid()
    booked_at(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    (row,) = rows(invoices("report", "payments", "--zone", "Europe/Berlin"))
    assert (row["time"], row["time_utc"]) == ("2026-10-25T02:30:00.000+02:00", "2026-10-25T00:30:00.000Z")
    booked_at(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    (row,) = rows(invoices("report", "payments", "--zone", "Europe/Berlin"))
    assert row["time"] == "2026-10-25T02:30:00.000+01:00"


def test_only_the_accounts_that_are_asked_for(invoices, paid):
    paid()
    assert rows(invoices("report", "payments", "--account", "nebulox")) == []
    assert len(rows(invoices("report", "payments", "--account", "nebulox", "--account", "zeroxhost"))) == 1
    ran = invoices("report", "payments", "--account", "shpo")
    assert (ran.code, ran.out) == (1, "")
    assert "no account 'shpo'" in ran.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["payments", "--from", "yesterday"], "neither a date such as 2026-11-01"),
        (["payments", "--from", "2026-02-30"], "neither a date"),
        (["payments", "--from", "2026-11-02", "--to", "2026-11-01"], "--to must be later than --from"),
        (["payments", "--from", "2026-11-02", "--to", "2026-11-02"], "--to must be later than --from"),
        (["payments", "--zone", "Mars/Olympus"], "no zone"),
        (["payments", "--format", "pdf"], "'csv', 'jsonl', 'beancount'"),
        (["payments", "--format", "csv", "--json"], "leave one of them out"),
        (["payments", "--format", "beancount", "--totals"], "beancount adds up itself"),
        (["payments", "--metadata", ""], "--metadata must have 1 to 200 characters"),
        (["open", "--format", "beancount"], "'csv', 'jsonl'"),
        (["open", "--at", "2100-01-01"], "must not be in the future"),
        ([], "needs a command"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(invoices, arguments, word):
    ran = invoices("report", *arguments)
    assert ran.code == 2
    assert word in ran.err
    assert "Traceback" not in ran.err


def test_a_period_that_is_not_over_is_said_to_be(invoices, paid):
    paid()
    assert "not over" in invoices("report", "payments", "--to", "2100-01-01").err
    assert invoices("report", "payments", "--to", "2020-01-01").err == ""


def test_that_invoices_were_archived_is_said(invoices, paid, tmp_path, monkeypatch):
    paid()
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path))
    assert invoices("report", "payments").err == ""
    (tmp_path / "invoices-2026-11-01.jsonl.gz").touch()
    ran = invoices("report", "payments", "--json")
    assert (len(ran.lines), ran.err) == (1, f"payments of archived invoices are in {tmp_path}, not here\n")


def test_an_archive_that_must_not_be_read_keeps_no_report_back(invoices, paid, monkeypatch, tmp_path):
    paid()
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path))
    refusal = PermissionError(13, "Permission denied")
    monkeypatch.setattr("workers.store.operate.archiving.has_files", mock.Mock(side_effect=refusal))
    ran = invoices("report", "payments", "--json")
    assert (ran.code, len(ran.lines)) == (0, 1)
    assert ran.err == f"whether there are archived invoices can't be told: {tmp_path}: Permission denied\n"


def test_a_file_is_written_whole_and_private_or_not_at_all(invoices, paid, tmp_path, monkeypatch):
    paid()
    path = tmp_path / "books" / "november.csv"
    path.parent.mkdir()
    ran = invoices("report", "payments", "--output", path)
    assert (ran.code, ran.out, ran.err) == (0, "", f"{path}: 1 line\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    whole = path.read_bytes()
    assert whole.count(b"\r\n") == 2

    def fail(_line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("domain.books.Line.values", lambda *_: fail(None))
    assert invoices("report", "payments", "--output", path).code == 1
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]
    missing = invoices("report", "payments", "--output", tmp_path / "no" / "november.csv")
    assert missing.code == 2
    assert "there is no folder" in missing.err


def test_a_link_stays_one(invoices, paid, tmp_path):
    paid()
    (tmp_path / "link.csv").symlink_to("november.csv")
    for _ in range(2):
        assert invoices("report", "payments", "--output", tmp_path / "link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert stat.S_IMODE((tmp_path / "november.csv").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["pipe", "folder", ""])
def test_what_is_no_file_is_never_replaced(invoices, paid, tmp_path, monkeypatch, name):
    paid()
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")  # stands for devices too: only root could replace those
    (tmp_path / "folder").mkdir()
    ran = invoices("report", "payments", "--output", name)
    assert (ran.code, ran.out) == (2, "")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_reader_that_has_seen_enough_is_no_error_to_read_about(invoices, paid):
    paid()
    ran = subprocess.run(
        f"{sys.executable} -m workers.cli report payments --format beancount | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
    )
    assert "Traceback" not in ran.stderr


def test_what_is_open_is_a_row_with_its_age(invoices, add_order, judge, store):
    young, old = add_order("order-1"), add_order("order-2", account="zeroxhost")
    judge(old, Created(provider_ref="ref-2", pay_amount=Decimal("0.5"), pay_currency="BTC"))
    with store.database.transaction() as connection:
        aged = update(INVOICE).where(INVOICE.c.id == old).values(created_at=store.database.time() - timedelta(hours=25))
        connection.execute(aged)
    found = {row["invoice"]: row for row in rows(invoices("report", "open", "--zone", "Europe/Berlin"))}
    assert (found[young]["age"], found[young]["status"], found[young]["price"]) == ("0-1 h", "queued", "12.50")
    assert (found[old]["age"], found[old]["asked_amount"], found[old]["asset"]) == ("1-7 d", "0.5", "BTC")
    totals = invoices("report", "open", "--totals", "--json").lines
    assert [tuple(one.values()) for one in totals] == [
        ("0-1 h", "EUR", "price", 1, "12.50"),
        ("1-7 d", "BTC", "asked_amount", 1, "0.5"),
        ("1-7 d", "EUR", "price", 1, "12.50"),
    ]


def test_what_was_open_at_an_instant_is_told_from_the_events_since(invoices, add_order, judge):
    invoice_id = add_order("order-1", account="zeroxhost")
    judge(invoice_id, Created(provider_ref="ref-1"))
    then = datetime.now(UTC).isoformat()
    judge(invoice_id, Seen(status=Status.PAID, word="Paid"))
    assert rows(invoices("report", "open")) == []
    (line,) = invoices("report", "open", "--at", then, "--json").lines
    assert (line["invoice"], line["status"]) == (invoice_id, "pending")
    assert json.dumps(line)
    assert rows(invoices("report", "open", "--at", "2020-01-01")) == []
