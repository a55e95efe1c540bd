"""What the demo looks like."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workers.cli.text import counted
from workers.cli.watch import draw_counts, draw_newest

if TYPE_CHECKING:
    from workers.cli.demo.report import Progress, Report
    from workers.cli.watch import Picture

PICTURE_WIDTH = 112


def draw(picture: Picture, progress: Progress, orders: int, seconds: float) -> RenderableType:
    """The demo as it runs."""
    line = (
        f"{sum(picture.counts.values())} of {orders} orders taken   {counted(progress.events, 'event', 'events')}, "
        f"{progress.waiting} of them still on their way   {seconds:.0f} s"
    )
    parts = (draw_counts(picture.counts), Text(), Text(line, style="bold"), Text(), draw_newest(picture.newest))
    return Panel(Group(*parts), title="invoices demo", border_style="dim")


def draw_report(report: Report) -> RenderableType:
    """The summary."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in report.checks:
        mark = Text("✓", style="green") if check.holds else Text("✗", style="bold red")
        table.add_row(mark, check.what, Text(check.detail, style="dim"))
    verdict = "all of it holds" if report.holds else "something does not hold"
    style = "green" if report.holds else "red"
    heading = Text(
        f"{sum(report.counts.values())} invoices in {report.seconds:.0f} s: {verdict}", style=f"bold {style}"
    )
    return Panel(Group(heading, Text(), table), title="summary", border_style=style)


def write_svg(path: Path, *parts: RenderableType) -> None:
    """The picture as a file. Raises OSError."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=PICTURE_WIDTH,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    for part in parts:
        console.print(part)
    svg = console.export_svg(title="invoices demo")
    # rich's picture would fetch its font from the network; the viewer's own fixed-width font will do.
    path.write_text(re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")
