"""A console over a scene of its own for each test; filled once a minute, then copied."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.console.doorstep import Doorstep
from tests.console.ground import Ground
from tests.console.scene import Scene
from tests.contracts.store_cases import open_store
from tests.migrated import migrated_file, new_sqlite_url, open_hasty


class Scenes:
    """Filling a scene takes a second, copying a filled one no time."""

    #: Pages tell how long ago things were: after so long one is filled anew.
    FRESH_SECONDS = 60.0

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filled.db"
        self._filled: Scene | None = None
        self._filled_at = 0.0

    @contextmanager
    def open(self, folder: Path) -> Iterator[Scene]:
        """A store with invoices in every status, of the caller's own."""
        if self._filled is None or time.monotonic() - self._filled_at > self.FRESH_SECONDS:
            self._filled = self._fill()
            self._filled_at = time.monotonic()
        path = folder / "invoices.db"
        shutil.copyfile(self._file, path)
        database = open_hasty(f"sqlite:///{path}")
        yield self._filled.copied(database)
        database.close()

    def _fill(self) -> Scene:
        shutil.copyfile(migrated_file(), self._file)
        database = open_hasty(f"sqlite:///{self._file}")
        scene = Scene(database)
        database.close()
        return scene


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Opens scenes."""
    return Scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def scene(scenes, tmp_path):
    """A scene of the test's own."""
    with scenes.open(tmp_path) as scene:
        yield scene


@pytest.fixture(scope="module")
def lasting_scene(scenes, tmp_path_factory):
    """A scene for all tests of a file that only look at it."""
    with scenes.open(tmp_path_factory.mktemp("scene")) as scene:
        yield scene


@pytest.fixture
def ground(scene):
    """The console over it."""
    ground = Ground(scene)
    yield ground
    ground.close()


@pytest.fixture
def store(tmp_path):
    """A store with nothing in it."""
    database = open_hasty(new_sqlite_url(tmp_path / "empty"))
    yield open_store(database)
    database.close()


@pytest.fixture
def doorstep(store):
    """The console with its real gate over that store."""
    doorstep = Doorstep(store)
    yield doorstep
    doorstep.close()
