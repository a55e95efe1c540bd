"""`invoices files`: documents and examples without a clone."""

from __future__ import annotations

from workers.shipped import ROOT


def test_a_file_is_printed_byte_for_byte(invoices):
    printed = invoices("files", "invoices.example.toml")
    assert printed.code == 0
    assert printed.out == (ROOT / "deploy/invoices.example.toml").read_text()


def test_all_are_listed_and_each_can_be_printed_by_its_listed_path(invoices):
    listed = invoices("files").out.splitlines()

    assert {"README.md", "Procfile", "deploy/receivers/receiver.py", "deploy/senders/send_order.py"} <= set(listed)
    assert [name for name in listed if invoices("files", name).out != (ROOT / name).read_text()] == []


def test_a_name_of_several_files_is_refused_and_all_are_named(invoices):
    refused = invoices("files", "package.json")
    assert refused.code == 1
    assert "deploy/receivers/package.json, deploy/senders/package.json" in refused.err


def test_a_path_that_is_not_listed_is_refused(invoices):
    refused = invoices("files", "../../etc/passwd")
    assert refused.code == 1
    assert "there is no such file" in refused.err
