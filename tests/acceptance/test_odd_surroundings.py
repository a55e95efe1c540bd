"""Processes in odd surroundings: locale, zone, libpq's variables, defaults of the database, an old file's encoding."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.acceptance.system import ALL_PATIENT, System, nebulox_order

pytestmark = [pytest.mark.engines, pytest.mark.timeout(900)]

ODD = {
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Kolkata",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c datestyle=German -c standard_conforming_strings=off",
    "LC_ALL": "C",
    "LANG": "de_DE.ISO-8859-1",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "TZ": "Pacific/Chatham",
}
DEFAULTS = {
    "default_transaction_isolation": "serializable",
    "synchronous_commit": "off",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
}
NOTE = "Größe 中文 \\ 🧾"


def odd_postgres(url: str, _: Path) -> str:
    """A database with defaults that nobody expects."""
    from sqlalchemy import create_engine

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name, value in DEFAULTS.items():
            connection.execute(text(f"ALTER DATABASE {make_url(url).database} SET {name} = '{value}'"))
    engine.dispose()
    return url


def odd_sqlite(_: str, folder: Path) -> str:
    """A file in UTF-16."""
    with sqlite3.connect(folder / "odd.db") as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE somebodys (x)")
    connection.close()
    return f"sqlite:///{folder / 'odd.db'}"


@pytest.mark.parametrize("prepare", [odd_postgres, odd_sqlite])
def test_an_order_becomes_a_row_and_an_event_whatever_the_surroundings_say(prepare, new_postgres_url, tmp_path):
    url = prepare(new_postgres_url, tmp_path)
    with System(tmp_path, database_url=url, accounts=ALL_PATIENT, cold=True) as system:
        system.environment.update(ODD)
        system.start("intake", "worker")
        system.order(nebulox_order("odd", metadata={"note": NOTE}, lifetime_minutes=60))
        system.wait_for_statuses("odd", pending=1)
        orders = tmp_path / "orders.jsonl"
        orders.write_text(json.dumps(nebulox_order("größe"), ensure_ascii=False), encoding="utf-8")
        system.command("enqueue", "--file", str(orders), "--json")
        system.wait_for_statuses("größe", pending=1)
        system.wait_until(lambda: len(system.stream()) == 2, "both are told")

        assert {event["data"]["metadata"].get("note") for event in system.stream()} == {NOTE, None}
        assert [event["type"] for event in system.events()] == ["invoice.pending"] * 2
        (shown,) = system.command("show", "odd", "--json")
        assert shown["metadata"] == {"note": NOTE}
        assert system.command("rejected", "--json") == []
