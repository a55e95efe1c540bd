"""`invoices archive`: what it says and refuses. What goes where: tests/contracts/test_archive.py."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from domain.evidence import OrderRefused
from tests.contracts.archive_cases import age
from workers.store.judging import Judgement
from workers.store.tables import EVENT


@pytest.fixture
def old(add_order, store):
    """A failed order of long ago, which the stream was told of."""
    invoice_id = add_order("long-ago")
    store.judge([Judgement(invoice_id, OrderRefused(reason="no such user"))])
    with store.database.transaction() as connection:
        connection.execute(EVENT.update().values(published_at=store.database.now(connection) - timedelta(days=1)))
    (moved,) = age(store.database, [invoice_id])
    return moved


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path / "archive"))
    return tmp_path / "archive"


def test_it_foretells_archives_and_finds_again(invoices, old, folder, add_order):
    add_order("young")
    (foretold,) = invoices("archive", "--dry-run", "--json").lines
    assert foretold["invoices"] == 1
    assert not folder.exists()
    assert invoices("archive", "--older-than", "1000").out == "nothing to archive\n"

    done = invoices("archive", "--reason", "by the timer")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "1 invoices were archived"
    assert [one["order_id"] for one in invoices("list", "--json").lines] == ["young"]
    gone = invoices("show", "long-ago")
    assert (gone.code, gone.out) == (1, "")
    assert "invoices archive find" in gone.err

    (found,) = invoices("archive", "find", "long-ago", "--json").lines
    assert (found["invoice"]["id"], found["invoice"]["status"]) == (old, "failed")
    shown = invoices("archive", "find", old)
    assert shown.out.startswith(f"{old}  long-ago  nebulox  failed  in invoices-{foretold['day']}.jsonl.gz\n")
    assert "invoice.failed" in shown.out
    (act,) = invoices("audit", "--json").lines
    assert (act["act"], act["reason"]) == ("invoices.archived", "by the timer")


def test_with_json_each_file_is_a_line(invoices, old, folder):
    (done,) = invoices("archive", "--json").lines
    assert (done["written"], done["removed"]) == (1, 1)
    assert done["file"].startswith(str(folder))


def test_nothing_is_archived_where_workers_would_remove_it_first(invoices, old):
    refused = invoices("archive")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("invoices: INVOICES_ARCHIVE_DIR is not set, here and for the workers")
    assert invoices("show", old, "--json").code == 0


def test_what_is_kept_for_good_is_archived_only_by_an_age_that_is_given(invoices, old, folder, monkeypatch):
    monkeypatch.setenv("INVOICES_RETENTION_DAYS", "0")
    assert "give --older-than DAYS" in invoices("archive").err
    assert invoices("archive", "--older-than", "0").code == 2
    assert invoices("archive", "--older-than", "90").code == 0


def test_a_folder_that_cannot_be_written_costs_nothing(invoices, old, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path / "file" / "archive"))
    refused = invoices("archive")
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "file" in refused.err
    assert invoices("show", old, "--json").code == 0


def test_no_secret_of_an_endpoint_is_in_an_archive(invoices, add_order, store, folder, monkeypatch):
    monkeypatch.setenv("INVOICES_WEBHOOK_ALLOW", "127.0.0.1:9")
    (endpoint,) = invoices("endpoints", "add", "http://127.0.0.1:9/", "--header", "X-Key: very-private", "--json").lines
    invoice_id = add_order("told")
    store.judge([Judgement(invoice_id, OrderRefused(reason="no such user"))])
    assert invoices("endpoints", "remove", endpoint["id"]).code == 0
    with store.database.transaction() as connection:
        connection.execute(EVENT.update().values(published_at=store.database.now(connection)))
    age(store.database, [invoice_id])
    invoices("archive")
    found = invoices("archive", "find", "told", "--json").out
    for secret in (endpoint["secret"], "very-private", "sandbox-nebulox-key"):
        assert secret not in found
    assert json.loads(found.splitlines()[0])["deliveries"] == []


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_folder_that_can_not_be_made_is_told_by_its_setting(invoices, old, monkeypatch, tmp_path, below):
    (tmp_path / "file").touch()
    place = f"{tmp_path / 'file'}{below}"
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", place)
    done = invoices("archive")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("invoices: INVOICES_ARCHIVE_DIR can't be written: ")
    assert invoices("show", "long-ago").code == 0
    found = invoices("archive", "find", "long-ago")
    assert (found.code, found.out) == (1, "")
    assert f"there is no folder {place}" in found.err
