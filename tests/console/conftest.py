"""A console over a scene of its own for each test; migrated once a session, then copied."""

from __future__ import annotations

import shutil

import pytest

from tests.console.ground import Ground
from tests.console.scene import Scene
from workers.store.database import Database
from workers.store.schema import upgrade


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """The path of a migrated SQLite file nobody has open."""
    path = tmp_path_factory.mktemp("console") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def scene(migrated_file, tmp_path):
    """A store with invoices in every status."""
    path = tmp_path / "invoices.db"
    shutil.copyfile(migrated_file, path)
    database = Database(f"sqlite:///{path}")
    yield Scene(database)
    database.close()


@pytest.fixture
def ground(scene):
    """The console over it."""
    ground = Ground(scene)
    yield ground
    ground.close()
