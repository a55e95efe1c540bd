"""`invoices files`: the documents and examples of this release."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from workers.cli.errors import CommandFailed
from workers.shipped import ROOT

#: What is for people: where it lies in a release.
SHOWN = (
    "*.md",
    "Procfile",
    "deploy/*.md",
    "deploy/*.toml",
    "deploy/*.yaml",
    "deploy/observability/**/*.*",
    "deploy/pgbouncer/*.*",
    "deploy/proof/*.*",
    "deploy/proxies/*.*",
    "deploy/receivers/*.*",
    "deploy/redis/*.*",
    "deploy/requirements/otel.txt",
    "deploy/requirements/run.txt",
    "deploy/runbooks/*.md",
    "deploy/senders/*.*",
    "deploy/sql/*.*",
    "deploy/systemd/**/*.*",
)


@click.command("files")
@click.argument("name", required=False)
def files_command(name: str | None) -> None:
    """List the documents and examples of this release, or print the one NAME: a listed path, or its end.

    \b
    invoices files invoices.example.toml > invoices.toml
    invoices files receiver.py > receiver.py
    """
    names = list_files(ROOT)
    if name is None:
        print(f"in {ROOT}:", file=sys.stderr)
        print("\n".join(names))
        return
    sys.stdout.buffer.write((ROOT / pick(names, name)).read_bytes())


def list_files(root: Path) -> list[str]:
    """Their paths under ``root``, in order."""
    return sorted({str(path.relative_to(root)) for shown in SHOWN for path in root.glob(shown) if path.is_file()})


def pick(names: list[str], wanted: str) -> str:
    """The one of that path, or whose path ends so. Raises CommandFailed."""
    ends = [name for name in names if name == wanted or name.endswith(f"/{wanted}")]
    if wanted in ends or len(ends) == 1:
        return wanted if wanted in ends else ends[0]
    if ends:
        raise CommandFailed(f"{wanted}: there are several: {', '.join(ends)}")
    raise CommandFailed(f"{wanted}: there is no such file; `invoices files` lists them")
