"""Migrations: equal to the models, run once, safe to run side by side."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

import workers.store.tables  # noqa: F401 - fills the metadata
from workers.store import schema
from workers.store.database import Database
from workers.store.release import SchemaTooOld, Standing, require_release


def test_the_migrated_database_is_what_the_models_say(database):
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_a_new_database_has_no_revision_and_a_migrated_one_the_newest(empty_database_url):
    before, after = schema.upgrade(empty_database_url)

    database = Database(empty_database_url)
    assert before is None
    assert database.read(require_release) == Standing(after, after, "current")
    assert schema.upgrade(empty_database_url) == (after, after)
    database.close()


def test_a_database_that_was_never_migrated_says_so(empty_database_url):
    database = Database(empty_database_url)
    with pytest.raises(SchemaTooOld, match="is not migrated: run `invoices migrate`"):
        database.read(require_release)
    database.close()


def test_postgresql_keeps_the_agenda_half_empty(database):
    if not database.is_postgresql:
        return
    with database.reading() as connection:
        options = connection.execute(text("SELECT reloptions FROM pg_class WHERE relname = 'agenda'")).scalar_one()
    assert "fillfactor=50" in options
