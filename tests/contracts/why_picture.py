"""`python -m tests.contracts.why_picture`: draws `deploy/why.svg`, what `invoices why` says of each cause.

Each is made on a database of its own, in which everything runs, and asked about by the command itself.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from domain.why import Cause
from tests.contracts.store_cases import open_store
from tests.contracts.why_cases import ACCOUNTS, SITUATIONS, Ground
from workers.store.database import Database
from workers.store.schema import upgrade

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "deploy" / "why.svg"
WIDTH = 80
#: What differs from run to run is shown as what it was in none.
_IDS = re.compile(r"\b(inv|ep|evt)_[0-9a-f]{32}")
_TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?")
_ORDER = re.compile(r"\border_[0-9a-f]{32}")


def paragraphs() -> dict[Cause, str]:
    """What the command prints of each cause, at 80 columns."""
    with tempfile.TemporaryDirectory(prefix="invoices-why-") as folder:
        template = Path(folder) / "template.db"
        upgrade(f"sqlite:///{template}")
        return {cause: _ask(Path(folder) / cause, template, cause) for cause in Cause}


def _ask(home: Path, template: Path, cause: Cause) -> str:
    home.mkdir()
    shutil.copyfile(template, home / "invoices.db")
    database = Database(f"sqlite:///{home / 'invoices.db'}")
    try:
        ground = Ground(database, open_store(database))
        ground.beat("intake", "worker", "web")
        name = SITUATIONS[cause](ground)
    finally:
        database.close()
    environment = {
        "PATH": os.environ["PATH"],
        "COLUMNS": str(WIDTH),
        "INVOICES_HOME": str(home),
        "INVOICES_ACCOUNTS": _accounts(),
        "INVOICES_PUBLIC_URL": "https://pay.example",
    }
    command = [sys.executable, "-m", "workers.cli", "why", name]
    ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert ran.stdout.startswith(cause.value), ran.stdout + ran.stderr
    return ran.stdout


def _accounts() -> str:
    parts = (
        f'"{name}": {{"provider": "{one.provider}", "base_url": "{one.base_url}", "api_key": "k-secret-key", '
        f'"max_in_flight": {one.max_in_flight}, "on_doubt": "{one.on_doubt}"}}'
        for name, one in ACCOUNTS.items()
    )
    return "{" + ", ".join(parts) + "}"


def steady(text: str) -> str:
    """The same on one line, without what differs from run to run."""
    line = " ".join(text.split())
    return _TIMES.sub("2026-11-29 03:00:07", _ORDER.sub("order-1", _IDS.sub(r"\1_01a2…", line)))


def picture_text(svg: str) -> str:
    """What a picture shows, as one line."""
    shown = re.findall(r"<text[^>]*>(.*?)</text>", svg, re.DOTALL)
    text = " ".join(shown).replace("&#160;", " ")
    for escaped, plain in (("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(escaped, plain)
    return " ".join(text.split())


def draw() -> str:
    """The picture."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, color_system="truecolor")
    for cause, text in paragraphs().items():
        _print(console, cause, text)
    svg = console.export_svg(title="invoices why")
    # rich's picture fetches its font from the network; without it the viewer's own fixed-width font does.
    return re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)


def _print(console: Console, cause: Cause, text: str) -> None:
    from workers.cli.why import CALM

    first, *lines = text.rstrip().splitlines()
    style = "bold green" if cause in CALM else "bold yellow"
    console.print(Text.assemble((cause.value, style), first.removeprefix(cause.value)), highlight=False)
    for line in lines:
        label = re.match(r"  (since|next|helps) ", line)
        console.print(Text(line, style="cyan" if label and label[1] == "helps" else "" if label else "default"))
    console.print()


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
