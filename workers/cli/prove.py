"""`invoices prove`: one order's proof, to be handed over and checked by anybody."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from workers.cli.context import open_database, settings_to_read
from workers.cli.errors import CommandFailed
from workers.cli.output import json_option, print_json
from workers.cli.text import shown
from workers.cli.which import NAME, NAMES, choose_invoice
from workers.cli.whole_file import draft
from workers.cli.wrapping import wrap

if TYPE_CHECKING:
    from config.settings import Settings
    from workers.store.database import Database
    from workers.store.reads.proof import Proof
    from workers.store.rows import StoredRow

STDOUT = "-"
PORTION = 1 << 20  #: bytes


@click.command(
    "prove",
    help=f"Write the proof of one order, by {NAMES}: what was ordered, who said what and when, what was decided, who "
    "was told, what people did. A stand-alone script checks it: `invoices files check_proof.py`.",
)
@click.argument("name", metavar=NAME)
@click.option("--account", help="Whose; needed where several accounts have such an order.")
@click.option(
    "--output",
    metavar="FILE",
    help="Where to; - is standard output. No other proof is overwritten.  [default: proof-INVOICE.jsonl, here]",
)
@json_option
def prove_command(name: str, account: str | None, output: str | None, as_json: bool) -> None:
    from workers.store.reads.proof import Unreadable, write_proof

    config = settings_to_read()
    with open_database(config) as live, _found(config, live, name, account, ask=not as_json) as (database, invoice):
        path = None if output == STDOUT else Path(output or f"proof-{invoice.id}.jsonl")
        with _output(path) as file:
            try:
                proof = write_proof(database, invoice.id, config.accounts, file.write, config.secrets())
            except Unreadable as error:
                raise CommandFailed(f"{error}: the row was changed by somebody else (see: invoices doctor)") from None
            if proof is None:
                raise CommandFailed(f"invoice {invoice.id} was archived a moment ago: run this again")
    if as_json and path is not None:
        print_json(_fields(invoice, proof, path))
    elif not as_json:
        _tell(invoice, proof, path)


@contextmanager
def _found(
    config: Settings, live: Database, name: str, account: str | None, *, ask: bool
) -> Iterator[tuple[Database, StoredRow]]:
    """The invoice, and the database that has it: the live one, or one that is made of what was archived."""
    from workers.store.reads.search import search

    folder = config.archive_dir
    if folder is None or not folder.is_dir() or live.read(search, name, account) is not None:
        yield live, choose_invoice(live, name, account, ask=ask)
        return
    from workers.store.operate.archiving import ArchiveRefused, find_newest, unpacked

    try:
        lines = find_newest(folder, name, account)
    except ArchiveRefused as refusal:
        raise CommandFailed(str(refusal)) from None
    if not lines:
        raise CommandFailed(f"no invoice or order is {name!r}, in the database or archived (see: invoices list)")
    if len(lines) > 1:
        raise CommandFailed(f"several accounts have an order {name!r}: give --account {'|'.join(lines)}", 2)
    (line,) = lines.values()
    with unpacked(line, live) as found:
        yield found


@contextmanager
def _output(path: Path | None) -> Iterator[IO[bytes]]:
    """Where the proof is written to; what is whole goes to its file, or to standard output."""
    if path is None:
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        return
    with draft(path, STDOUT) as made:
        yield made.file
        _refuse_to_overwrite(path, made.file)
        made.keep()


def _refuse_to_overwrite(path: Path, proof: IO[bytes]) -> None:
    """Raises CommandFailed if the file is there and is anything else."""
    proof.seek(0)
    if path.exists():
        with path.open("rb") as file:
            if not _are_equal(file, proof):
                raise CommandFailed(f"{path} is there, and is something else: move it, or give --output")


def _are_equal(one: IO[bytes], other: IO[bytes]) -> bool:
    while (some := one.read(PORTION)) == other.read(PORTION):
        if not some:
            return True
    return False


def _fields(invoice: StoredRow, proof: Proof, path: Path) -> dict[str, object]:
    about = {"invoice_id": invoice.id, "account": invoice.account, "order_id": invoice.order_id}
    told = {"records": proof.records, "top": proof.top, "missing": list(proof.missing)}
    return {"file": str(path), **about, "status": proof.status, **told}


def _tell(invoice: StoredRow, proof: Proof, path: Path | None) -> None:
    """On standard error where the proof itself goes to standard output."""
    aside = path is None
    where = "" if aside else f"{path}: "
    about = f"order {shown(invoice.order_id)} of account {invoice.account}, {proof.status}"
    click.echo(f"{where}{proof.records} records of {about}", err=aside)
    for one in proof.missing:
        click.echo(wrap("missing: ", _gap(one)), err=aside)
    click.echo(f"top hash {proof.top}", err=aside)
    if not aside:
        click.echo(wrap("", "Give this hash to the other side now, or keep it where you can't change it."))
        click.echo("check: invoices files check_proof.py > check_proof.py")
        click.echo(f"       python3 check_proof.py {path} --hash {proof.top}")


def _gap(one: dict[str, object]) -> str:
    between = f" between {one['after']} and {one['before']}" if "after" in one else ""
    return f"{one['what']}{between}: {one['why']}"
