"""`invoices prove`: which order, into which file, and never over another proof."""

from __future__ import annotations

import pytest

from domain.evidence import CancelRequested, Created
from tests.contracts.archive_cases import age, end
from tests.contracts.store_cases import open_store
from tests.proofs import CHECKER, check, only, top_of
from workers.store.tables import EVENT

TRANSACTION = "cf2e" + "0" * 60


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that the command is run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_a_file_of_the_owners_and_prints_the_hash(invoices, add_order, judge, here, tmp_path):
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="9a1c"))
    ran = invoices("prove", "order-1")
    assert (ran.code, ran.err) == (0, "")
    (name,) = names(here)
    proof = (here / name).read_bytes()
    assert (name, (here / name).stat().st_mode & 0o777) == (f"proof-{invoice}.jsonl", 0o600)
    assert f"{name}: 6 records of order order-1 of account nebulox, pending" in ran.out
    assert f"top hash {top_of(proof)}" in ran.out
    assert check(tmp_path, proof, "--hash", top_of(proof)) == ""
    assert f"python3 check_proof.py {name}" in ran.out


def test_programs_get_one_line(invoices, add_order, here):
    invoice = add_order("order-1")
    (line,) = invoices("prove", invoice, "--json", "--output", "p.jsonl").lines
    assert line == {
        "file": "p.jsonl",
        "invoice_id": invoice,
        "account": "nebulox",
        "order_id": "order-1",
        "status": "queued",
        "records": 4,
        "top": top_of((here / "p.jsonl").read_bytes()),
        "missing": [],
    }


def test_to_standard_output_goes_the_proof_alone(invoices, add_order, here):
    add_order("order-1")
    told = invoices("prove", "order-1", "--output", "-")
    assert f"top hash {top_of(told.out.encode())}" in told.err
    quiet = invoices("prove", "order-1", "--output", "-", "--json")
    assert (quiet.out, quiet.err) == (told.out, "")
    assert names(here) == []


def test_the_same_again_changes_nothing_and_another_proof_stays(invoices, add_order, judge, here):
    invoice = add_order("order-1")
    assert invoices("prove", invoice).code == 0
    (name,) = names(here)
    before = (here / name).read_bytes()
    assert invoices("prove", invoice).code == 0
    judge(invoice, CancelRequested(reason="sold out"))
    refused = invoices("prove", invoice)
    assert (refused.code, refused.out) == (1, "")
    assert f"{name} is there, and is something else: move it, or give --output" in refused.err
    assert ((here / name).read_bytes(), names(here)) == (before, [name])
    assert invoices("prove", invoice, "--output", "now.jsonl").code == 0
    assert only((here / "now.jsonl").read_bytes(), "invoice")[0]["body"]["status"] == "cancelled"


def test_an_order_of_several_accounts_needs_the_account(invoices, add_order, here):
    add_order("same")
    there = add_order("same", account="zeroxhost")
    refused = invoices("prove", "same")
    assert (refused.code, "several accounts have an order 'same': give --account nebulox|zeroxhost" in refused.err) == (
        2,
        True,
    )
    assert invoices("prove", "same", "--account", "zeroxhost", "--json").lines[0]["invoice_id"] == there


def test_of_several_invoices_of_an_order_the_newest_and_the_others_are_told(invoices, add_order, judge, here):
    first = add_order("order-1")
    judge(first, CancelRequested(reason="x"))
    second = add_order("order-1", idempotency_key="again")
    ran = invoices("prove", "order-1", "--json")
    assert (ran.lines[0]["invoice_id"], first in ran.err) == (second, True)


@pytest.mark.parametrize("name", ["9a1c", "again", "bc1q"])
def test_any_name_that_show_takes(invoices, add_order, judge, here, name):
    invoice = add_order("order-1", idempotency_key="again")
    judge(invoice, Created(provider_ref="9a1c", address="bc1q"))
    assert invoices("prove", name, "--json").lines[0]["invoice_id"] == invoice


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("nobody",), "there is no invoice or order 'nobody'"),
        (("order-1", "--output", "."), "--output: . is no file: name one, or - for standard output"),
        (("order-1", "--output", "/dev/null"), "--output: /dev/null is no file"),
        (("order-1", "--output", "no/such/p.jsonl"), "--output: there is no folder no/such"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(invoices, add_order, here, given, said):
    add_order("order-1")
    ran = invoices("prove", *given)
    assert ran.code in {1, 2}
    assert (ran.out, ran.err.count("\n"), said in ran.err) == ("", 1, True)
    assert names(here) == []


def test_an_archived_order_is_proven_out_of_the_archive(invoices, store, here, tmp_path, monkeypatch):
    (invoice,) = age(store.database, end(open_store(store.database)))
    (order_id,) = [line["order_id"] for line in invoices("list", "--json").lines]
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path / "archive"))
    assert invoices("prove", order_id, "--output", "before.jsonl").code == 0
    assert "1 invoices were archived" in invoices("archive", "--older-than", "30").out
    assert invoices("list", "--json").lines == []
    for name in (order_id, invoice):
        (line,) = invoices("prove", name, "--json", "--output", "after.jsonl").lines
        assert (line["invoice_id"], line["status"]) == (invoice, "paid")
    assert (here / "after.jsonl").read_bytes() == (here / "before.jsonl").read_bytes()
    refused = invoices("prove", order_id, "--account", "nebulox")
    assert (refused.code, "in the database or archived" in refused.err) == (1, True)


def test_an_order_of_several_accounts_in_the_archive_needs_the_account(
    invoices, add_order, here, tmp_path, monkeypatch
):
    lines = {"a": b"{}", "b": b"{}"}
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("INVOICES_ARCHIVE_DIR", str(tmp_path / "archive"))
    monkeypatch.setattr("workers.store.operate.archiving.find_newest", lambda *_: lines)
    refused = invoices("prove", "same")
    assert (refused.code, "several accounts have an order 'same': give --account a|b" in refused.err) == (2, True)


def test_what_is_missing_is_told(invoices, add_order, judge, store, here):
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="9a1c"))
    with store.database.transaction() as connection:
        connection.execute(EVENT.delete())
    ran = invoices("prove", invoice)
    assert "missing: events between 0 and 2: removed by retention" in ran.out
    (line,) = invoices("prove", invoice, "--json").lines
    assert line["missing"] == [{"what": "events", "after": 0, "before": 2, "why": "removed by retention"}]


def test_a_row_that_somebody_else_has_changed_is_named(invoices, add_order, judge, store, here):
    invoice = add_order("order-1")
    judge(invoice, Created(provider_ref="9a1c"))
    with store.database.transaction() as connection:
        connection.execute(EVENT.update().values(body=b"x"))
    ran = invoices("prove", invoice)
    assert (ran.code, "its body can't be read (JSONDecodeError): the row was changed by" in ran.err) == (1, True)
    assert names(here) == []


def test_the_script_that_checks_it_is_printed(invoices):
    assert invoices("files", "check_proof.py").out == CHECKER.read_text()
