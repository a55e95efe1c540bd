"""Proofs of a test's own, the stand-alone script that checks them, and forgers who know how they are made."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

from domain.exact_json import write_json
from workers.store.database import Database
from workers.store.reads.proof import write_proof

CHECKER = Path(__file__).parents[1] / "deploy" / "proof" / "check_proof.py"

Record = dict[str, Any]


def prove(database: Database, invoice_id: str, accounts: tuple[str, ...] = ("nebulox", "third", "zeroxhost")) -> bytes:
    """An invoice's proof."""
    written = io.BytesIO()
    assert write_proof(database, invoice_id, accounts, written.write) is not None
    return written.getvalue()


def check(folder: Path, proof: bytes, *options: str) -> str:
    """What the script says of it, in this process; empty: all of it holds."""
    path, printed = folder / "proof.jsonl", io.TextIOWrapper(io.BytesIO())
    path.write_bytes(proof)
    argv = mock.patch.object(sys, "argv", ["check_proof.py", str(path), *options])
    with argv, warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files to the end of its process
        try:
            exec(_script(), {"__name__": "__main__"})
        except SystemExit as end:
            return str(end.code)
    printed.flush()
    assert "\nok order, events, amounts, webhooks\n" in printed.buffer.getvalue().decode()
    return ""


@functools.cache
def _script() -> CodeType:
    return compile(CHECKER.read_text(), str(CHECKER), "exec")


def read(proof: bytes) -> list[Record]:
    """Its records."""
    return [json.loads(line) for line in proof.splitlines()[:-1]]


def only(proof: bytes, kind: str) -> list[Record]:
    """Those of one kind."""
    return [one for one in read(proof) if one["record"] == kind]


def top_of(proof: bytes) -> str:
    """The top hash as the proof itself says it."""
    top: str = json.loads(proof.splitlines()[-1])["top"]
    return top


def forge(proof: bytes, change: Callable[[list[Record]], object]) -> bytes:
    """Change its records and make every hash anew, as whoever holds the database could."""
    records, before, lines = read(proof), None, []
    change(records)
    for number, one in enumerate(records, 1):
        body = one.pop("body", None)
        head = one | {"n": number, "prior": before}
        if body is not None:
            text = write_json(body).encode()
            head |= {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        line = write_json(head).encode()
        line = line if body is None else b'%b,"body":%b}' % (line[:-1], text)
        before = hashlib.sha256(line).hexdigest()
        lines.append(line)
    return b"\n".join([*lines, b'{"top":"%b"}\n' % str(before).encode()])
