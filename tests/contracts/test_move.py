"""Everything is moved into an empty database: nothing is lost, changed or left behind by a crash."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from tests.contracts.moving_cases import every_row, fill
from tests.contracts.position_cases import assert_whole, claim, place
from tests.contracts.store_cases import OPERATOR, events_of, judge, open_store, pend, rows, seen, subscribe
from tests.contracts.web_process import KEY, SLOWLY_ON_BOTH
from tests.engines import new_postgres_database
from workers.store.database import Database
from workers.store.moving.loading import MoveRefused
from workers.store.moving.move import tables
from workers.store.operate.moving import move_into, survey
from workers.store.schema import revisions, upgrade
from workers.store.tables import ACT, AGENDA, INVOICE, LOG

ROOT = Path(__file__).parents[2]


@pytest.fixture
def target_url(postgres_url, postgres_template):
    """Migrated and empty: to migrate takes longer than all the rest of a test."""
    with new_postgres_database(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    """Gives further ones."""

    def copied(name):
        shutil.copyfile(sqlite_template, tmp_path / name)
        return f"sqlite:///{tmp_path / name}"

    return copied


@contextlib.contextmanager
def opened(url):
    with contextlib.closing(Database(url)) as database:
        yield database


def move_all(database, url, told=lambda *_: None):
    return move_into(database, url, OPERATOR, told)


def test_every_row_of_every_table_is_the_same_at_the_target(database, target_url):
    with database.transaction() as connection:
        fill(connection)
    before = database.read(every_row)
    assert all(before.values())  # no table was forgotten

    moved = move_all(database, target_url)

    assert {one.table: one.rows for one in moved} == {name: len(found) for name, found in before.items()}
    with opened(target_url) as target:
        after = target.read(every_row)
        (deed,) = rows(target, ACT, ACT.c.act == "database.moved")
        after[ACT.name] = [row for row in after[ACT.name] if "'database.moved'" not in row]
    assert after == before
    assert database.read(every_row) == before
    assert (deed.by, deed.reason) == (OPERATOR.name, OPERATOR.reason)


@pytest.fixture
def sqlite_database(sqlite_url):
    with opened(sqlite_url("from.db")) as database:
        yield database


def test_the_digests_are_those_of_the_rows_whatever_the_database_and_their_order(database, target_url, sqlite_url):
    with database.transaction() as connection:
        fill(connection)
    there = move_all(database, target_url)
    with opened(target_url) as target, target.transaction() as connection:
        connection.execute(ACT.delete().where(ACT.c.act == "database.moved"))
        changed = INVOICE.update().where(INVOICE.c.price.is_not(None)).values(reason=INVOICE.c.reason)
        connection.execute(changed)  # PostgreSQL writes these rows anew, behind the others
    with opened(target_url) as target:
        back = move_all(target, sqlite_url("back.db"))
        with target.transaction() as connection:
            connection.execute(INVOICE.update().where(INVOICE.c.id.like("1%")).values(reason="another"))
        other = move_all(target, sqlite_url("other.db"))
    assert back == there
    assert [one.table for one, two in zip(other, there, strict=True) if one != two] == ["invoice"]


def test_the_next_rows_get_numbers_above_all_that_were_given(database, target_url):
    with database.transaction() as connection:
        fill(connection)
    move_all(database, target_url)
    with opened(target_url) as target, target.transaction() as connection:
        for table in tables():
            key = list(table.primary_key.columns)
            if len(key) == 1 and key[0].autoincrement is not False and key[0].type.python_type is int:
                highest = connection.execute(select(func.max(key[0]))).scalar_one()
                row = {name: value for name, value in _copied(connection, table).items() if name != key[0].name}
                made = connection.execute(table.insert().values(row | _unique(table))).inserted_primary_key
                assert made[0] > highest, table.name


def _copied(connection, table):
    return dict(connection.execute(select(table).limit(1)).one()._mapping)


def _unique(table):
    """What differs from the row that is copied."""
    names = {"event": {"id": "another", "sequence": 99}, "delivery": {"endpoint_id": "another"}}
    others = {"payment": {"key": "another"}, "callback": {"digest": "another"}}
    more = {"rejected_message": {"message_key": "another"}, "provider_drift": {"value": "another"}}
    return (names | others | more).get(table.name, {})


def test_invoices_under_way_go_on_where_they_were_with_the_next_sequence_and_position(database, target_url):
    store = open_store(database)
    subscribe(database)
    first, second = pend(store, 2)
    held = claim(store)
    place(store)
    move_all(database, target_url)
    with opened(target_url) as target:
        there = open_store(target)
        judge(there, first, seen("paid"))
        later = claim(there)
        place(there)
        assert [event.sequence for event in events_of(target, first)] == [1, 2]
        assert_whole(target)
        assert later.fence > held.fence  # Redis would not let in a holder with a lower one
        assert {row.subject for row in rows(target, AGENDA, AGENDA.c.stage == "check")} >= {second}


def test_a_target_that_somebody_uses_is_refused_and_so_is_the_database_itself(database, target_url):
    with opened(target_url) as target:
        pend(open_store(target))
        before = target.read(every_row)
        with pytest.raises(MoveRefused, match=r"the target is not empty, \w+ has rows"):
            move_all(database, target_url)
        assert target.read(every_row) == before
    itself = database.engine.url.render_as_string(hide_password=False)
    with pytest.raises(MoveRefused, match="the target is the database that is to be moved"):
        move_all(database, itself)


def test_another_release_is_refused_at_either_end(sqlite_database, target_url, tmp_path):
    with opened(target_url) as target:
        for revision, why in (
            (revisions()[-2], "run `invoices migrate` first"),
            ("9999", "move it with the newer rel"),
        ):
            with target.transaction() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
            with pytest.raises(MoveRefused, match=f"this database is at revision {revision}.*{why}"):
                survey(target)
        with pytest.raises(MoveRefused, match="the target is at revision 9999, which this release does not know"):
            move_all(sqlite_database, target_url)
    with opened(f"sqlite:///{tmp_path / 'empty.db'}") as empty, pytest.raises(MoveRefused, match="never migrated"):
        survey(empty)


def test_a_migration_of_the_target_that_was_killed_halfway_is_finished(sqlite_database, new_postgres_url):
    upgrade(new_postgres_url, to=revisions()[20])
    (invoice_id,) = pend(open_store(sqlite_database))
    move_all(sqlite_database, new_postgres_url)
    with opened(new_postgres_url) as target:
        assert [row.id for row in rows(target, INVOICE)] == [invoice_id]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"reason": "a\0b"}, "invoice inv_odd: reason has a NUL character"),
        ({"anomaly": "a" * 21}, "invoice inv_odd: anomaly has 21 characters, 20 are allowed"),
        ({"doubts": 2**31}, "invoice inv_odd: doubts is a number of more than 32 bits"),
    ],
)
def test_a_row_that_postgresql_cannot_hold_is_named_and_nothing_is_moved(sqlite_database, target_url, change, why):
    """SQLite takes anything; orders are checked before they get there, other hands may not."""
    (kept,) = pend(open_store(sqlite_database))
    with sqlite_database.transaction() as connection:
        row = dict(connection.execute(select(INVOICE)).one()._mapping)
        odd = {"id": "inv_odd", "order_id": "odd", "idempotency_key": "odd", "provider_ref": None}
        connection.execute(INVOICE.insert().values(row | odd | change))
    with pytest.raises(MoveRefused, match=why) as refused:
        move_all(sqlite_database, target_url)
    assert row["order_id"] not in str(refused.value)
    with opened(target_url) as target:
        assert not any(row for name, row in target.read(every_row).items() if name != LOG.name)
    with sqlite_database.transaction() as connection:
        connection.execute(INVOICE.update().where(INVOICE.c.id == "inv_odd").values(dict.fromkeys(change, 1)))
    move_all(sqlite_database, target_url)
    with opened(target_url) as target:
        assert {row.id for row in rows(target, INVOICE)} == {kept, "inv_odd"}


def test_what_comes_back_otherwise_than_it_was_sent_is_noticed(database, target_url):
    pend(open_store(database), 3)
    with opened(target_url) as target:
        with target.transaction() as connection:
            connection.execute(text(MEDDLE))
            connection.execute(text("CREATE TRIGGER t BEFORE INSERT ON invoice FOR EACH ROW EXECUTE FUNCTION meddle()"))
        with pytest.raises(MoveRefused, match=r"invoice: 3 rows with digest \w+ were sent, 3 rows with"):
            move_all(database, target_url)
        assert rows(target, INVOICE) == []


MEDDLE = """
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.price := NEW.price || '0'; RETURN NEW; END $$
"""


def test_nobody_can_commit_at_the_source_meanwhile(database, target_url, monkeypatch):
    monkeypatch.setattr("workers.store.session.LOCK_WAIT_SECONDS", 1)
    monkeypatch.setattr("workers.store.database.SQLITE_WAIT_SECONDS", 1)
    pend(open_store(database))
    url = database.engine.url.render_as_string(hide_password=False)
    refused: list[object] = []
    with opened(url) as late:

        def add_one(table, _):
            if table == "invoice" and not refused:
                with pytest.raises(OperationalError) as error:
                    pend(open_store(late))
                refused.append(error)

        moved = move_all(database, target_url, add_one)
    assert refused
    assert {one.rows for one in moved if one.table == "invoice"} == {1}


KILLED = """
import os, signal, sys
from tests.contracts.test_move import OPERATOR, Database, move_into
def told(table, rows):
    if table == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
move_into(Database(sys.argv[1]), sys.argv[2], OPERATOR, told)
"""


@SLOWLY_ON_BOTH
@pytest.mark.parametrize(
    "table", ["event_log", *(pytest.param(table, marks=pytest.mark.engines) for table in ("invoice", "process_seen"))]
)
def test_killed_in_the_middle_it_leaves_the_source_whole_and_the_target_empty_and_is_run_again(
    database, target_url, table
):
    with database.transaction() as connection:
        fill(connection)
    before = database.read(every_row)
    source_url = database.engine.url.render_as_string(hide_password=False)
    ran = subprocess.run([sys.executable, "-c", KILLED, source_url, target_url, table], cwd=ROOT, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert database.read(every_row) == before
    with opened(target_url) as target:
        assert not any(found for name, found in target.read(every_row).items() if name != LOG.name)

    moved = move_all(database, target_url)
    assert {one.table: one.rows for one in moved} == {name: len(found) for name, found in before.items()}


FEW, MANY = 5_000, 100_000
#: So much may differ between two runs of the same command; the rows that differ would weigh several times that.
MIB_APART = 16
COPIES = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
INSERT INTO evidence (invoice_id, at, kind, detail, raw, verdict, source)
SELECT one.invoice_id, one.at, one.kind, one.detail || n, one.raw, one.verdict, one.source
FROM numbers, (SELECT * FROM evidence LIMIT 1) AS one
"""


@pytest.mark.engines
def test_a_move_of_many_rows_takes_no_more_memory_than_one_of_few(sqlite_url, postgres_url, postgres_template):
    taken = {}
    for many in (FEW, MANY):
        url = sqlite_url(f"{many}.db")
        with opened(url) as source:
            pend(open_store(source))
            with source.transaction() as connection:
                connection.execute(text(COPIES), {"rows": many})
        with new_postgres_database(postgres_url, postgres_template) as target:
            code, taken[many] = run_move(url, target)
        assert code == 0
    assert taken[MANY] < taken[FEW] + MIB_APART, taken


def run_move(url, target):
    """By the command; its exit code, and the most memory that it had, in MiB."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    ours |= {"INVOICES_DATABASE_URL": url, "INVOICES_SECRET_KEY": KEY}
    command = [sys.executable, "-m", "workers.cli", "move", target, "--json"]
    moving = subprocess.Popen(command, cwd=ROOT, env=ours, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(moving.pid, 0)
    moving.returncode = os.waitstatus_to_exitcode(status)
    return moving.returncode, used.ru_maxrss / 1024
