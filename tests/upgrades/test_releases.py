"""What earlier releases left behind is what later ones find: shapes, rows and messages, kept under `releases/`."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from domain.decision import Stage
from domain.status import Anomaly, Status
from tests.upgrades.__main__ import RELEASES
from tests.upgrades.dump import load_rows, read_shape
from tests.upgrades.messages import read, read_messages, refused_at_intake
from tests.upgrades.planted import NEXT_RELEASES
from workers.store.database import Database
from workers.store.release import read_standing
from workers.store.schema import revisions, upgrade

KEPT = sorted(folder.name for folder in RELEASES.iterdir())
KINDS = ["sqlite", "postgresql"]
#: Stages that came after the first release, and the revision since when there are rows of them.
LATER_STAGES = {Stage.CALLBACK: "0006"}


def stages_of(release: str) -> set[str]:
    """Those that a release knew."""
    return {stage.value for stage in Stage if LATER_STAGES.get(stage, "") <= release}


@pytest.fixture
def open_database():
    opened = []

    def open_one(url):
        opened.append(Database(url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


def contents(database: Database, like: dict[str, list[str]] | None = None) -> dict[str, list[str]]:
    """Every table's rows as text; of the columns that ``like`` (table to columns) had, where they are still there."""
    shape = inspect(database.engine)
    found = {}
    with database.reading() as connection:
        for table in sorted(set(shape.get_table_names()) - {"alembic_version"}):
            names = [column["name"] for column in shape.get_columns(table)]
            names = [name for name in names if like is None or name in like.get(table, [])]
            rows = connection.execute(text(f"SELECT {', '.join(names)} FROM {table}")).all() if names else []
            found[table] = sorted(str(dict(row._mapping)) for row in rows)
    return found


def columns(database: Database) -> dict[str, list[str]]:
    shape = inspect(database.engine)
    return {table: [c["name"] for c in shape.get_columns(table)] for table in shape.get_table_names()}


#: The tables of the log: see ``test_first_positions.py``.
FILLED = {"event_log", "event_position"}


def rows_kept_for(revision: str, every: list[str], kind: str) -> tuple[str, Path]:
    """The newest release with rows that is not newer than a revision."""
    below = every[: every.index(revision) + 1]
    release = next(name for name in reversed(below) if name in KEPT)
    return release, RELEASES / release / f"rows.{kind}.sql"


@pytest.mark.parametrize("release", KEPT)
def test_a_released_migration_never_changes(empty_database_url, database_kind, release, open_database):
    upgrade(empty_database_url, to=release)

    kept = (RELEASES / release / f"schema.{database_kind}.sql").read_text()
    assert read_shape(open_database(empty_database_url)) == kept


#: What is new is tried with every run of the tests; where rows of older revisions end up, by the engines' tests.
NEW = 4
EVERY = [
    *(pytest.param(one, marks=pytest.mark.engines) for one in revisions()[1:-NEW]),
    revisions()[0],
    *revisions()[-NEW:],
    *NEXT_RELEASES,
]


@pytest.mark.parametrize("revision", EVERY)
def test_rows_of_every_revision_live_through_the_way_to_the_newest(
    empty_database_url, database_kind, planted, revision, open_database
):
    """From each revision there is, the planted ones included: nothing lost, nothing changed that was there before.

    But for what an expansion fills itself."""
    release, rows = rows_kept_for(revision, revisions(planted), database_kind)
    upgrade(empty_database_url, folder=planted, to=release)
    database = open_database(empty_database_url)
    loaded = load_rows(database, rows)
    upgrade(empty_database_url, folder=planted, to=revision)
    before, names = contents(database), columns(database)

    upgrade(empty_database_url, folder=planted)

    assert database.read(read_standing, planted).relation == "current"
    after, left = contents(database, names), columns(database)
    gone = {table: set(names[table]) - set(left.get(table, [])) for table in names}
    for table in before.keys() - FILLED:
        assert len(after[table]) == len(before[table]), table
        if not gone[table]:
            assert after[table] == before[table], table
    assert sum(len(after[table]) for table in after.keys() - FILLED) == loaded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("release", KEPT)
def test_kept_rows_hold_every_status_stage_lease_and_delivery(request, tmp_path, release, kind, open_database):
    url = f"sqlite:///{tmp_path}/invoices.db" if kind == "sqlite" else request.getfixturevalue("new_postgres_url")
    upgrade(url, to=release)
    database = open_database(url)
    load_rows(database, RELEASES / release / f"rows.{kind}.sql")

    def distinct(expression, table):
        with database.reading() as connection:
            return set(connection.execute(text(f"SELECT DISTINCT {expression} FROM {table}")).scalars())

    assert distinct("status", "invoice") == {status.value for status in Status}
    assert distinct("anomaly", "invoice") - {None} == {anomaly.value for anomaly in Anomaly}
    assert distinct("stage", "agenda") == stages_of(release)
    assert distinct("state", "delivery") == {"due", "delivered", "dead"}
    assert distinct("outcome", "delivery_attempt") == {"delivered", "failed"}
    assert distinct("verdict", "evidence") >= {"applied", "noted", "contradiction"}
    leases = "CASE WHEN due_at IS NULL THEN 'parked' WHEN lease_token IS NULL THEN 'free' ELSE 'leased' END"
    assert distinct(leases, "agenda") == {"parked", "free", "leased"}
    assert distinct("published_at IS NULL", "event") == {True, False}
    assert distinct("disabled_at IS NULL", "endpoint") == {True, False}


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(kept, id=f"{name} {kept['name']}")
        for name in KEPT
        for kept in read_messages(RELEASES / name / "messages.jsonl")
    ],
)
def test_a_message_of_an_earlier_release_means_what_it_meant(kept):
    """The digests too: by them a repeat is told from another order, whichever release took the first."""
    assert read(kept["item"]) == kept["read"]


@pytest.mark.parametrize("release", KEPT)
def test_orders_of_an_earlier_release_with_finer_prices_than_their_currency_has_are_refused_now(release):
    """The one thing that an upgrade turns away: the changelog says so. Everything else is taken as it was."""
    kept = read_messages(RELEASES / release / "messages.jsonl")
    refused = {order: said for message in kept for order, said in refused_at_intake(message["item"])}
    said = "price: EUR takes at most 2 decimals (more by the account's price_decimals)"
    assert refused == dict.fromkeys(("m-3", "p1-3", "n-3", "o-3"), said)  # 0.1000000000000000055 EUR


@pytest.mark.parametrize("release", KEPT)
def test_kept_messages_hold_every_task_in_both_protocols(release):
    kept = read_messages(RELEASES / release / "messages.jsonl")
    tasks = {(message["read"]["task"], "task" in message["item"]["headers"]) for message in kept}

    intake = {"invoices.create", "invoices.create_many", "invoices.cancel"}
    assert tasks >= {(task, in_headers) for task in intake for in_headers in (True, False)}
    assert tasks >= {("invoices.run", True), ("invoices.sweep", True), ("invoices.reject", True)}
    rung = {message["read"]["arguments"][0] for message in kept if message["read"]["task"] == "invoices.run"}
    assert rung == stages_of(release)
