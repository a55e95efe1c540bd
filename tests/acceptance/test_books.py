"""The books of a real run: every payment that the demo's orders had, once."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from domain.money import total
from workers.cli.demo.orders import ROUND

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


def run(home, *arguments, seconds=120):
    ran = subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        cwd=ROOT,
        env=os.environ | {"INVOICES_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def read(home, *arguments):
    return [json.loads(line) for line in run(home, *arguments, "--json").splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of a demo that has ended."""
    place = tmp_path_factory.mktemp("home")
    run(place, "demo", "--orders", str(2 * len(ROUND)), "--timeout", "300", "--keep", seconds=540)
    (kept,) = (path.parent for path in place.rglob("invoices.db"))
    return kept


def test_every_payment_is_a_line_and_every_paid_invoice_has_its_price_once(home):
    lines = read(home, "report", "payments")
    paid = {one["id"]: one for one in read(home, "list", "--status", "paid", "--limit", "0")}
    priced = Counter(line["invoice"] for line in lines if line["price"] is not None)
    assert paid
    assert priced == Counter({one: 1 for one, invoice in paid.items() if invoice["price"] is not None})
    assert {line["invoice"] for line in lines} >= set(paid)
    for invoice_id in paid:
        (shown,) = read(home, "show", invoice_id)
        known = [Decimal(one["amount"]) for one in shown["payments"] if one["amount"]]
        booked = [line["amount"] or line["assumed_amount"] for line in lines if line["invoice"] == invoice_id]
        assert total(map(Decimal, filter(None, booked))) == total(known)


def test_the_totals_are_the_sums_of_the_lines_and_adjoining_periods_share_none(home):
    lines = read(home, "report", "payments")
    totals = [one for one in read(home, "report", "payments", "--totals") if one["kind"] != "price"]
    assert sum(one["lines"] for one in totals) == len(lines)
    middle = lines[len(lines) // 2]["time_utc"]
    before, after = read(home, "report", "payments", "--to", middle), read(home, "report", "payments", "--from", middle)
    assert [line["line"] for line in before + after] == [line["line"] for line in lines]
    rows = list(csv.DictReader(io.StringIO(run(home, "report", "payments"), newline=""), strict=True))
    assert [row["line"] for row in rows] == [str(line["line"]) for line in lines]
    assert read(home, "report", "open") == []
