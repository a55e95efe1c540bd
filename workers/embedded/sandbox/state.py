"""A file that keeps the sandbox's state over restarts: invoices, rules, lifetimes, which marked faults have fired.

Each change is written when it is made, so that a killed sandbox loses none. Callbacks under way are given up; calls
that were seen are forgotten.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import simplejson

from workers.embedded.sandbox.invoices import Invoice
from workers.embedded.sandbox.script import Rule, Script
from workers.embedded.sandbox.stand_in import StandIn
from workers.embedded.sandbox.wire import Digits, InputError, RawJSON, write_json

_TABLES = """
CREATE TABLE IF NOT EXISTS invoice (place INTEGER PRIMARY KEY, provider, ref, document, UNIQUE (provider, ref));
CREATE TABLE IF NOT EXISTS marked (provider, operation, subject, calls, PRIMARY KEY (provider, operation, subject));
CREATE TABLE IF NOT EXISTS rule (id INTEGER PRIMARY KEY, document);
CREATE TABLE IF NOT EXISTS lifetime (provider PRIMARY KEY, seconds);
"""
_KEEP = """
INSERT INTO invoice (provider, ref, document) VALUES (?, ?, ?)
ON CONFLICT (provider, ref) DO UPDATE SET document = excluded.document
"""


class StateFile:
    """An SQLite file, used by one sandbox at a time."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where it can't be used."""
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._file = sqlite3.connect(path, isolation_level=None, timeout=0)
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.executescript(_TABLES)
        except OSError as problem:
            raise InputError(f"state: {path}: {problem.strerror or problem}") from None
        except sqlite3.OperationalError as problem:
            raise InputError(f"state: {path}: {problem}; does another sandbox use it?") from None
        except sqlite3.DatabaseError as problem:
            raise InputError(f"state: {path}: {problem}") from None

    def close(self) -> None:
        """Close the file; nothing can be kept any more."""
        self._file.close()

    def keep(self, invoice: Invoice) -> None:
        """As it is now."""
        self._file.execute(_KEEP, (invoice.provider, invoice.ref, write_json(asdict(invoice))))

    def forget(self, invoices: Sequence[Invoice]) -> None:
        """Remove invoices that are no longer remembered."""
        self._file.executemany(
            "DELETE FROM invoice WHERE provider = ? AND ref = ?", [(one.provider, one.ref) for one in invoices]
        )

    def keep_marked(self, key: tuple[str, str, str], calls: int) -> None:
        """How many calls of these ids have met their markers' faults."""
        self._file.execute("INSERT OR REPLACE INTO marked VALUES (?, ?, ?, ?)", (*key, calls))

    def keep_rule(self, rule: Rule) -> None:
        """As it is now."""
        self._file.execute("INSERT OR REPLACE INTO rule VALUES (?, ?)", (rule.id, write_json(asdict(rule))))

    def forget_rules(self) -> None:
        """All of them."""
        self._file.execute("DELETE FROM rule")

    def keep_lifetime(self, provider: str, seconds: int) -> None:
        """Of the provider's new invoices."""
        self._file.execute("INSERT OR REPLACE INTO lifetime VALUES (?, ?)", (provider, seconds))

    def resume(self, stand_ins: Mapping[str, StandIn], script: Script) -> None:
        """Put everything back, and keep what changes from now on."""
        for name, stand_in in stand_ins.items():
            for invoice in self._invoices(name):
                stand_in.invoices.restore(invoice)
                stand_in.next_number = max(stand_in.next_number, invoice.number + 1)
            stand_in.invoices.keeper = self
            for (seconds,) in self._file.execute("SELECT seconds FROM lifetime WHERE provider = ?", (name,)):
                stand_in.lifetime.seconds = seconds
        rules = self._file.execute("SELECT document FROM rule ORDER BY id")
        script.restore([Rule(**simplejson.loads(document)) for (document,) in rules], dict(self._marked()))
        script.keeper = self

    def _invoices(self, provider: str) -> Iterator[Invoice]:
        rows = self._file.execute("SELECT document FROM invoice WHERE provider = ? ORDER BY place", (provider,))
        for (document,) in rows:
            yield read_invoice(document)

    def _marked(self) -> Iterator[tuple[tuple[str, str, str], int]]:
        for provider, operation, subject, calls in self._file.execute("SELECT * FROM marked ORDER BY rowid"):
            yield (provider, operation, subject), calls


def read_invoice(document: str) -> Invoice:
    """An invoice from its document; numbers in its request and detail keep every digit."""
    fields = simplejson.loads(document, parse_float=Digits)
    times = {name: float(fields[name]) for name in ("created_at", "updated_at")}
    plan = [(float(at), step) for at, step in fields["plan"]]
    exact = {name: _exact(fields[name]) for name in ("request", "detail")}
    return Invoice(**(fields | times | exact | {"plan": plan}))


def _exact(value: Any) -> Any:
    if isinstance(value, Digits):
        return RawJSON(str(value))
    if isinstance(value, dict):
        return {name: _exact(each) for name, each in value.items()}
    return [_exact(each) for each in value] if isinstance(value, list) else value
