"""Archives invoices that ended long ago, and finds them again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from domain.exact_json import read_json, write_json
from workers.store.acts import Actor
from workers.store.archiving import archive as archiving
from workers.store.archiving.archive import Archived, Told
from workers.store.archiving.files import ArchiveRefused, Folder, lines
from workers.store.archiving.unpacking import unpacked
from workers.store.database import Database

__all__ = ["ArchiveRefused", "Archived", "archive", "find", "find_newest", "survey", "unpacked"]

#: Archived invoices of one name that are looked at.
MOST = 50
#: Names by which an invoice is found, as ``invoices show`` takes them.
_NAMES = ("id", "order_id", "idempotency_key", "provider_ref", "address")


def archive(
    database: Database, path: Path, older_than: timedelta, actor: Actor, told: Told = lambda *_: None
) -> Iterator[Archived]:
    """Write what ended and did not change for so long, and remove it. Raises ArchiveRefused, OSError."""
    return archiving.archive(database, Folder(path), database.time() - older_than, actor, told)


def survey(database: Database, older_than: timedelta) -> Iterator[tuple[datetime, int]]:
    """The days, and how many invoices of each would be archived. Changes nothing."""
    return archiving.survey(database, database.time() - older_than)


def oldest(database: Database, older_than: timedelta) -> datetime | None:
    """The first day that has an invoice which would be archived; None: there is none."""
    return archiving.first_day(database, database.time() - older_than)


def has_files(path: Path) -> bool:
    """Whether anything was archived there."""
    return bool(Folder(path).finished())


def find(path: Path, name: str) -> Iterator[tuple[Path, bytes]]:
    """The lines of invoices with this name, the newest file first. Of one that was written twice, the later is newer.

    Raises ArchiveRefused.
    """
    quoted = write_json(name).encode()
    for file in reversed(Folder(path).finished()):
        for line in lines(file):
            if quoted in line and _is_named(line, name):
                yield file, line


def find_newest(path: Path, name: str, account: str | None, most: int = MOST) -> dict[str, bytes]:
    """By account the line of the newest archived invoice that a name means. Raises ArchiveRefused."""
    found: dict[str, tuple[str, bytes]] = {}
    for _, line in islice(find(path, name), most):
        invoice = read_json(line)["invoice"]
        newest = found.get(invoice["account"])
        if account in {None, invoice["account"]} and (newest is None or newest[0] < invoice["id"]):
            found[invoice["account"]] = invoice["id"], line
    return {each: line for each, (_, line) in sorted(found.items())}


def _is_named(line: bytes, name: str) -> bool:
    document = read_json(line)
    events = (event["id"] for event in document["events"])
    payments = (payment[key] for payment in document["payments"] for key in ("tx_hash", "reference"))
    return name in {document["invoice"][key] for key in _NAMES} | {*events, *payments}
