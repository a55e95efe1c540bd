"""`invoices health` and `invoices why --all`: one verdict, the causes, an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import load_settings
from domain.evidence import CredentialsRefused
from workers.store.judging import Judgement
from workers.store.processes import Heartbeat


@pytest.fixture
def running(store):
    """Everything runs."""
    for roles in (["worker", "intake"], ["web"]):
        heartbeat = Heartbeat(store.database, roles, ["nebulox", "zeroxhost"])
        heartbeat.swept()
        heartbeat.write()


@pytest.fixture
def refused(store, add_order, running):
    """An order that waits for its account's key."""
    invoice = add_order("order-1")
    store.judge([Judgement(invoice, CredentialsRefused(reason="HTTP 401"))])
    return invoice


def test_all_is_well_where_nothing_is_late(invoices, running):
    ran = invoices("health", "--json")
    assert ran.code == 0
    (health,) = ran.lines
    assert list(health) == ["verdict", "causes", "parts"]
    assert (health["verdict"], health["causes"]) == ("OK", [])
    assert (health["parts"]["database"], health["parts"]["stream"]["untold"]) == ("ok", 0)
    assert {role: seen["running"] for role, seen in health["parts"]["processes"].items()} == {
        "intake": 1,
        "worker": 1,
        "web": 1,
        "beat": 1,
    }
    ran = invoices("why", "--all", "--json")
    assert (ran.code, ran.out) == (0, "")


def test_a_cause_is_a_line_and_the_exit_code_says_that_not_all_is_well(invoices, refused):
    ran = invoices("why", "--all", "--json")
    assert ran.code == 1
    (cause,) = ran.lines
    assert list(cause) == ["cause", "count", "oldest_since", "example"]
    assert (cause["cause"], cause["count"], cause["example"]) == ("key_refused", 1, refused)
    ran = invoices("health", "--json")
    assert (ran.code, ran.lines[0]["verdict"], ran.lines[0]["causes"]) == (1, "DEGRADED", [cause])


def test_people_read_both_at_eighty_columns(invoices, refused, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = invoices("why", "--all")
    assert ran.out.splitlines()[0].split() == ["CAUSE", "N", "SINCE", "EXAMPLE"]
    assert ran.out.splitlines()[-1] == "DEGRADED"
    assert refused in ran.out
    ran = invoices("health")
    assert ran.out.splitlines()[0] == "DEGRADED"
    assert "  worker      1 running\n" in ran.out
    assert "  redis       away" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_without_a_worker_it_stands_still(invoices):
    ran = invoices("health")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "STALLED"
    assert "  worker      0 running, never seen\n" in ran.out
    assert invoices("why", "--all").code == 1


def test_a_database_of_an_earlier_release_is_told_with_what_to_do(invoices, store):
    with store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0022'")
    ran = invoices("health", "--json")
    assert ran.code == 1
    assert ran.lines[0]["verdict"] == "STALLED"
    assert "invoices migrate" in ran.lines[0]["parts"]["database"]


@pytest.fixture(params=["missing", "damaged"])
def unreadable(request, invoices):
    """The database's file is not there, or is none."""
    file = Path(load_settings().database_url.partition(":///")[2])
    file.unlink(missing_ok=True)
    if request.param == "damaged":
        file.write_bytes(b"no database" * 1000)


def test_without_a_database_it_stands_still_in_one_object(invoices, unreadable):
    ran = invoices("health", "--json")
    assert ran.code == 1
    (health,) = ran.lines
    assert (health["verdict"], health["causes"]) == ("STALLED", [])
    assert set(health["parts"]) == {"database", "redis"}
    assert health["parts"]["database"] != "ok"


def test_what_could_not_be_looked_at_is_not_said_to_be_well(invoices, unreadable):
    ran = invoices("health")
    assert ran.out.splitlines()[0] == "STALLED"
    assert "nothing is late" not in ran.out
    assert ran.out.splitlines()[-1] == "what is late is not known: the database can't be read"


def test_one_order_or_all(invoices):
    ran = invoices("why", "order-1", "--all")
    assert (ran.code, "not both" in ran.err) == (2, True)
    ran = invoices("why", "--all", "--account", "nebulox")
    assert (ran.code, "--account goes with an order" in ran.err) == (2, True)
