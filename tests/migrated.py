"""A migrated SQLite database, made once by a process and then copied: migrating takes a second, a copy no time."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from sqlalchemy import event

from workers.store.database import Database
from workers.store.schema import upgrade


@functools.cache
def migrated_file() -> Path:
    """The path of a migrated SQLite file that nobody has open."""
    folder = Path(tempfile.mkdtemp(prefix="invoices-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    upgrade(f"sqlite:///{folder / 'template.db'}")
    return folder / "template.db"


def new_sqlite_url(folder: Path) -> str:
    """The URL of a fresh migrated database, ``folder/invoices.db``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(migrated_file(), folder / "invoices.db")
    (folder / "invoices.db").chmod(0o600)
    return f"sqlite+pysqlite:///{folder}/invoices.db"


def open_hasty(url: str) -> Database:
    """A database of this process whose commits wait for no disk: what outlives a loss of power is not tested here."""
    database = Database(url)
    if not database.is_postgresql:
        event.listen(database.engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF").close())
    return database
