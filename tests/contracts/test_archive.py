"""Ended invoices are written to files before they are removed: whatever dies on the way, no row is in neither."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from domain.order import parse_order
from tests.contracts.archive_cases import OLD, PARTS, age, counts, end, held, left, run
from tests.contracts.doctor_cases import by_cause, settings
from tests.contracts.store_cases import judge, pend, rows, seen, subscribe
from tests.contracts.web_process import SLOWLY_ON_BOTH
from workers.cli.doctor.archive import check_archive
from workers.store import walk
from workers.store.archiving import archive as archiving
from workers.store.archiving.files import ArchiveRefused, Folder
from workers.store.database import Database
from workers.store.operate.archiving import find, survey
from workers.store.schema import upgrade
from workers.store.tables import ACT, ATTEMPT, CALLBACK, DELIVERY, EVENT, EVIDENCE, INVOICE, LOG

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archive"


def test_an_invoice_goes_with_all_that_belongs_to_it_and_the_file_has_every_bit(database, store, folder):
    ids = end(store, 3)
    old = age(database, ids[:2])
    bodies = {bytes(row.body).decode() for row in rows(database, EVENT, EVENT.c.invoice_id.in_(old))}
    evidence = {row.detail for row in rows(database, EVIDENCE, EVIDENCE.c.invoice_id.in_(old))}

    (done,) = run(database, folder)

    assert done[1:] == (2, 2)
    first, second = held(folder)
    assert [first["invoice"]["id"], second["invoice"]["id"]] == sorted(old)
    assert {event["body"] for one in (first, second) for event in one["events"]} == bodies
    assert {said["detail"] for one in (first, second) for said in one["evidence"]} == evidence
    assert first["invoice"]["price"] == "10.50"
    assert first["deliveries"][0]["attempts"][0]["answer"] == {"base64": "b2sg/w=="}
    assert [event["position"] for event in first["events"]]
    assert left(database) == {ids[2]}
    assert {row.invoice_id for row in rows(database, EVENT)} == {ids[2]}
    assert {row.invoice_id for row in rows(database, DELIVERY)} == {ids[2]}
    assert len(rows(database, ATTEMPT)) == len(rows(database, DELIVERY)) == 2
    (log,) = rows(database, LOG)
    assert log.removed > 0  # a reader further back is told
    (deed,) = rows(database, ACT)
    assert (deed.act, json.loads(deed.after)) == ("invoices.archived", {"file": done[0], "invoices": 2})
    assert run(database, folder) == []


def test_a_file_is_named_by_day_has_its_sum_and_is_its_owners_alone(database, store, folder):
    (old,) = age(database, end(store))
    ((name, _, _),) = run(database, folder)
    made = datetime.fromtimestamp(int(old[4:16], 16) / 1000, UTC)
    assert name == f"invoices-{made:%Y-%m-%d}.jsonl.gz"
    assert {path.name for path in folder.iterdir()} == {name, f"{name}.sha256", ".lock"}
    content = (folder / name).read_bytes()
    assert (folder / f"{name}.sha256").read_text() == f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    assert json.loads(gzip.decompress(content))["invoice"]["id"] == old
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.glob("inv*"))] == [0, 0, 0]


def test_what_is_young_or_waits_for_anything_stays(database, store, folder):
    young, old = end(store, 2)
    (old,) = age(database, [old])
    subscribe(database)  # nobody delivers there
    (waiting,) = pend(store)
    judge(store, waiting, seen("paid"))
    (opened,) = pend(store)
    others = age(database, [waiting, opened])
    assert [count for _, count in survey(database, OLD)] == [2]  # what waits is seen when it is read
    run(database, folder)
    assert left(database) == {young, *others}
    assert [one["invoice"]["id"] for one in held(folder)] == [old]


def test_a_replay_that_came_between_the_file_and_the_removal_keeps_the_invoice(database, store, folder):
    (old,) = age(database, end(store))

    def replay(step, _):
        if step == "finished":
            with database.transaction() as connection:
                connection.execute(DELIVERY.update().values(state="due"))

    assert run(database, folder, replay) == [(f"invoices-{day(old)}.jsonl.gz", 1, 0)]
    assert left(database) == {old}
    with database.transaction() as connection:
        connection.execute(DELIVERY.update().values(state="delivered", tries=2))
    assert run(database, folder) == [(f"invoices-{day(old)}.2.jsonl.gz", 1, 1)]
    assert [one["deliveries"][0]["tries"] for one in held(folder)] == [1, 2]
    assert [json.loads(line)["deliveries"][0]["tries"] for _, line in find(folder, old)] == [2, 1]  # newest first


def day(invoice_id):
    return f"{datetime.fromtimestamp(int(invoice_id[4:16], 16) / 1000, UTC):%Y-%m-%d}"


def test_a_damaged_file_removes_nothing(database, store, folder):
    (old,) = age(database, end(store))

    def damage(step, _):
        if step == "finished":
            (path,) = folder.glob("*.gz")
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

    with pytest.raises(ArchiveRefused, match="is not what was written"):
        run(database, folder, damage)
    assert left(database) == {old}


def test_only_one_run_writes_at_a_time(database, store, folder):
    age(database, end(store))
    with Folder(folder).alone(), pytest.raises(ArchiveRefused, match="another run is writing there"):
        run(database, folder)


def test_it_goes_in_small_batches_and_a_day_at_a_time(database, store, folder, monkeypatch):
    monkeypatch.setattr(archiving, "BATCH", 2)
    ids = end(store, 5)
    later = age(database, ids[:3], 91) + age(database, ids[3:], 95)
    steps = []
    done = run(database, folder, lambda step, count: steps.append((step, count)))
    assert [(written, removed) for _, written, removed in done] == [(2, 2), (3, 3)]
    assert [count for step, count in steps if step == "removed"] == [2, 2, 1]
    assert left(database) == set()
    assert {one["invoice"]["id"] for one in held(folder)} == set(later)


KILLED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from tests.contracts.test_archive import OLD, archiving
from tests.contracts.store_cases import OPERATOR
from workers.store.database import Database
from workers.store.operate.archiving import archive
archiving.BATCH = 2
point, seen = sys.argv[3], []
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def told(step, count):
    seen.append(step)
    if f"{step} {seen.count(step)}" == point:
        die()
replace, calls = Path.replace, []
def renaming(path, target):
    calls.append(target)
    if point == f"before name {len(calls)}":
        die()
    replace(path, target)
Path.replace = renaming
list(archive(Database(sys.argv[1]), Path(sys.argv[2]), OLD, OPERATOR, told))
"""


@SLOWLY_ON_BOTH
@pytest.mark.parametrize(
    "point",
    [
        "before name 2",
        "removed 1",
        *(
            pytest.param(point, marks=pytest.mark.engines)
            for point in ["written 1", "before name 1", "finished 1", "removed 2"]
        ),
    ],
)
def test_killed_anywhere_every_invoice_is_in_a_finished_file_or_in_the_database(database, store, folder, point):
    old = age(database, end(store, 5))
    url = database.engine.url.render_as_string(hide_password=False)
    ran = subprocess.run([sys.executable, "-c", KILLED, url, str(folder), point], cwd=ROOT, check=False)
    assert ran.returncode == -signal.SIGKILL

    assert left(database) | {one["invoice"]["id"] for one in held(folder)} == set(old)
    whole = counts(database)
    assert whole["event"] == 2 * whole["invoice"]  # nobody's rows went without the rest of it

    run(database, folder)
    assert left(database) == set()
    ids = [one["invoice"]["id"] for one in held(folder)]
    assert sorted(ids) == sorted(old)  # nobody is there twice
    assert not list(folder.glob("*.draft"))
    assert not any(counts(database).values())


def test_workers_leave_to_the_archive_what_is_an_invoices_and_remove_the_rest(database, store, folder):
    (old,) = age(database, end(store))
    with database.transaction() as connection:
        at = database.now(connection) - timedelta(days=91)
        connection.execute(EVENT.update().values(created_at=at))
        connection.execute(EVIDENCE.update().values(at=at))
        notice = {name: value for name, value in rows(database, EVENT)[0]._mapping.items() if name != "number"}
        connection.execute(
            EVENT.insert().values(notice | {"id": "evt_00", "invoice_id": "evt_00", "sequence": 0, "created_at": at})
        )
    before = counts(database)
    assert store.remove_finished(OLD, archived=True) == 1
    assert counts(database) == before | {"event": before["event"] - 1}
    run(database, folder)
    assert left(database) == set()
    assert [line for _, line in find(folder, old)]


def test_what_nobody_archives_is_found_behind_any_number_of_rows_that_stay(database, store, monkeypatch):
    """Some callbacks a look: with millions that wait for the archive, no look reads them all."""
    monkeypatch.setattr(walk, "LOOKED_AT", 1)
    age(database, end(store, 3))
    with database.transaction() as connection:
        at = database.now(connection) - timedelta(days=91)
        connection.execute(EVENT.update().values(created_at=at))
        events = rows(database, EVENT)
        notice = {name: value for name, value in events[0]._mapping.items() if name != "number"}
        notice |= {"id": "evt_00", "invoice_id": "evt_00", "sequence": 0, "created_at": at}
        connection.execute(EVENT.insert().values(notice))
        callback = {"account": "zeroxhost", "at": at, "body": b"", "headers": "{}", "state": "matched"}
        for one in events:
            connection.execute(CALLBACK.insert().values(callback | {"digest": one.id, "invoice_id": one.invoice_id}))
        connection.execute(CALLBACK.insert().values(callback | {"digest": "left", "invoice_id": "inv_archived"}))
    assert len(events) == 2 * walk.PORTIONS
    assert [store.remove_finished(OLD, archived=True) for _ in range(3)] == [1, 0, 1]
    assert [row.id for row in rows(database, EVENT)] == [one.id for one in events]
    assert [row.digest for row in rows(database, CALLBACK)] == [one.id for one in events]


def test_an_archived_invoice_is_found_by_its_names_and_by_no_part_of_one(database, store, folder):
    (old,) = age(database, end(store))
    (row,) = rows(database, INVOICE)
    event = rows(database, EVENT)[0].id
    run(database, folder)
    for name in (old, row.order_id, row.idempotency_key, row.provider_ref, event):
        assert [path.name for path, _ in find(folder, name)] == [f"invoices-{day(old)}.jsonl.gz"], name
    assert list(find(folder, row.order_id[:-1])) == []
    assert list(find(folder, "paid")) == []


def test_the_doctor_says_that_nobody_archives(database, store, tmp_path, folder):
    url = database.engine.url.render_as_string(hide_password=False)
    config, without = settings(tmp_path, url, archive_dir=folder), settings(tmp_path, url)
    age(database, end(store), 92)
    assert by_cause(check_archive(database, config)) == {}  # it may fail once
    age(database, [row.id for row in rows(database, INVOICE)], 2)
    with database.transaction() as connection:
        connection.execute(INVOICE.update().values(updated_at=database.now(connection) - timedelta(days=94)))
    found = by_cause(check_archive(database, config))
    assert (found["not_archived"].command, found["not_archived"].state) == ("invoices archive", "note")
    assert list(check_archive(database, without)) == []
    run(database, folder)
    assert list(check_archive(database, config)) == []


def test_the_advice_about_vacuuming_is_for_every_table_that_rows_are_removed_from(new_postgres_url):
    upgrade(new_postgres_url)
    advice = (ROOT / "deploy" / "sql" / "autovacuum.sql").read_text()
    with contextlib.closing(Database(new_postgres_url)) as database, database.transaction() as connection:
        connection.exec_driver_sql(advice)
        query = "SELECT relname FROM pg_class WHERE 'autovacuum_vacuum_scale_factor=0.01' = ANY (reloptions)"
        advised = set(connection.execute(text(query)).scalars())
    assert advised == {table.name for table in (*PARTS, ATTEMPT, CALLBACK)}


def test_an_order_that_is_sent_again_after_it_was_archived_is_a_new_one(database, store, folder):
    (old,) = age(database, end(store))
    (row,) = rows(database, INVOICE)
    again = parse_order({"account": row.account, "order_id": row.order_id, "price": "10.50", "currency": "EUR"})
    (before,) = store.add_orders([(again, row.account)])
    run(database, folder)
    (after,) = store.add_orders([(again, row.account)])
    assert (before.outcome, before.invoice_id) == ("repeated", old)
    assert after.outcome == "accepted"
