"""A dispute: the operator proves an order, the shop checks that with plain Python against what it received itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.shop import Shops, take
from tests.acceptance.system import ROOT, START_SECONDS, System, nebulox_order, running, zeroxhost_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

CHECK = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "proof" / "check_proof.py")]


@pytest.fixture(params=["sqlite", "postgresql"])
def system(request, tmp_path):
    url = request.getfixturevalue("new_postgres_url") if request.param == "postgresql" else None
    accounts = {"zeroxhost": {"poll_seconds": 0.3}}
    with running(System(tmp_path, database_url=url, accounts=accounts), "intake", "worker", "beat", "web") as system:
        yield system


def run(*arguments, cwd):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, check=False, timeout=START_SECONDS)


def test_an_order_is_proven_and_the_shop_checks_it_against_its_own_webhooks(system, tmp_path):
    with Shops({"official": take}) as shops:
        system.command("endpoints", "add", shops.url("official"), "--json")
        system.order(
            zeroxhost_order("paid", "~confirm:1~pay:2~", metadata={"name": "Zoë \u202e", "cart": [1, 2]}),
            nebulox_order("open"),
            nebulox_order("refused~fault:refused~"),
        )
        system.wait_for_statuses(paid=1, failed=1, pending=1)
        system.wait_until_told()
        arrived = list(shops.arrivals)
    orders = system.invoices()
    for order_id, row in orders.items():
        (made,) = system.command("prove", order_id, "--json", "--output", str(tmp_path / f"{row['id']}.jsonl"))
        file = Path(made["file"])
        assert (file.stat().st_mode & 0o777, made["missing"]) == (0o600, [])
        mine = tmp_path / "mine.jsonl"
        mine.write_bytes(b"".join(bodies_of(arrived, row["id"])))
        ran = run(*CHECK, str(file), "--hash", made["top"], "--received", str(mine), cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert ran.stdout.splitlines()[-3:] == [
            f"ok {made['records']} records".encode(),
            b"ok order, events, amounts, webhooks",
            f"ok hash {made['top']}".encode(),
        ]
        for body in bodies_of(arrived, row["id"]):
            assert body.strip() in file.read_bytes()
        file.write_bytes(file.read_bytes().replace(b'"verdict":"applied"', b'"verdict":"ignored"', 1))
        tampered = run(*CHECK, str(file), cwd=tmp_path)
        assert (tampered.returncode, tampered.stdout) == (1, b"")
        assert tampered.stderr.startswith(b"BAD  line ")
    assert system.errors() == []


def bodies_of(arrived, invoice_id):
    """What the shop got about an invoice, each on a line of its own."""
    bodies = [one.body + b"\n" for one in arrived if one.subject == invoice_id]
    assert bodies
    return bodies
