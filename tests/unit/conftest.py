"""The `invoices` command on a home of the test's own."""

from __future__ import annotations

import os

import pytest

from config.settings import load_settings
from domain.order import parse_order
from tests.migrated import new_sqlite_url
from tests.unit.cli_runner import Invoices
from workers.bootstrap import open_store
from workers.embedded.valkey import stop_valkey
from workers.store.judging import Judgement


@pytest.fixture
def fresh_invoices(capsys, monkeypatch, tmp_path, own_logging):
    """The command where nothing was ever set up."""
    for name in [name for name in os.environ if name.startswith("INVOICES_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have one, whatever ours are to be
    monkeypatch.setenv("INVOICES_HOME", str(tmp_path / "home"))
    yield Invoices(capsys, tmp_path / "home")
    if (tmp_path / "home" / "valkey").is_dir():  # a command may have started the home's broker, which outlives it
        stop_valkey(tmp_path / "home")


@pytest.fixture
def invoices(fresh_invoices):
    """The command on a migrated database."""
    new_sqlite_url(fresh_invoices.home)
    return fresh_invoices


@pytest.fixture
def store(invoices):
    """The store of that database."""
    store = open_store(load_settings())
    yield store
    store.close()


@pytest.fixture
def add_order(store):
    """Adds an order as the intake would; returns the invoice's id."""

    def add(order_id, account="nebulox", **fields):
        order = parse_order({"account": account, "order_id": order_id, "price": "12.50", "currency": "EUR"} | fields)
        (added,) = store.add_orders([(order, account)])
        assert added.invoice_id, added
        return added.invoice_id

    return add


@pytest.fixture
def judge(store):
    """Judges evidence of an invoice, one after the other."""

    def judge(invoice_id, *evidence):
        store.judge([Judgement(invoice_id, one) for one in evidence])

    return judge
