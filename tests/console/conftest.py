"""A console over a scene of its own for each test; migrated once a session, then copied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.console.doorstep import Doorstep
from tests.console.ground import Ground
from tests.console.scene import Scene
from tests.contracts.store_cases import open_store
from workers.store import passwords
from workers.store.database import Database
from workers.store.schema import upgrade


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    """The path of a migrated SQLite file nobody has open."""
    path = tmp_path_factory.mktemp("console") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@contextmanager
def open_scene(migrated: Path, folder: Path) -> Iterator[Scene]:
    """A store with invoices in every status."""
    path = folder / "invoices.db"
    shutil.copyfile(migrated, path)
    database = Database(f"sqlite:///{path}")
    yield Scene(database)
    database.close()


@pytest.fixture
def scene(migrated_file, tmp_path):
    """A scene of the test's own."""
    with open_scene(migrated_file, tmp_path) as scene:
        yield scene


@pytest.fixture(scope="module")
def lasting_scene(migrated_file, tmp_path_factory):
    """A scene for all tests of a file that only look at it."""
    with open_scene(migrated_file, tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture
def ground(scene):
    """The console over it."""
    ground = Ground(scene)
    yield ground
    ground.close()


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    """Passwords that are hashed at once: what they cost is not what is tested here."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: cheap)


@pytest.fixture
def store(migrated_file, tmp_path):
    """A store with nothing in it."""
    path = tmp_path / "empty.db"
    shutil.copyfile(migrated_file, path)
    database = Database(f"sqlite:///{path}")
    yield open_store(database)
    database.close()


@pytest.fixture
def doorstep(store):
    """The console with its real gate over that store."""
    doorstep = Doorstep(store)
    yield doorstep
    doorstep.close()
