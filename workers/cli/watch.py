"""`invoices watch`: a live table from SQL alone, whatever else is down."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from workers.cli.context import open_database
from workers.cli.events import follow_events
from workers.cli.invoices import STATUSES
from workers.cli.output import STATUS_STYLES, console, json_option, money, print_bytes, status_cell
from workers.cli.table import GAP, Column, lay_out

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from workers.store.database import Database
    from workers.store.rows import StoredRow

REFRESH_SECONDS = 0.5
#: After a look it rests for this many times as long as the look took: so counting takes a tenth of the time, however
#: many invoices there are.
REST_FACTOR = 9
RATE_WINDOW_SECONDS = 10.0
NEWEST = 12
NEWEST_COLUMNS = (
    Column("CHANGED", rank=1),
    Column("ORDER", key=8),
    Column("ACCOUNT", rank=3),
    Column("STATUS"),
    Column("TO PAY", rank=2),
    Column("REASON", text=8, rank=4),
)


@dataclass(slots=True)
class Picture:
    """What one look at the database found."""

    counts: dict[str, int]
    newest: list[StoredRow]
    events_per_second: float
    orders_per_second: float


@dataclass(slots=True)
class Lookout:
    """Looks at the database again and again. Rates are over the last RATE_WINDOW_SECONDS."""

    _totals: deque[tuple[float, int, int]] = field(default_factory=deque)

    def look(self, database: Database, newest: int = NEWEST) -> Picture:
        """Counts, the newest changes and the rates, as they are now."""
        from workers.store.queries import changed_invoices, count_by_status, last_event_number

        counts = database.read(count_by_status)
        rows = list(database.read(changed_invoices, newest))
        events = database.read(last_event_number)
        now = time.monotonic()
        self._totals.append((now, events, sum(counts.values())))
        while now - self._totals[0][0] > RATE_WINDOW_SECONDS:
            self._totals.popleft()
        then, events_then, orders_then = self._totals[0]
        span = max(now - then, REFRESH_SECONDS)
        return Picture(counts, rows, (events - events_then) / span, (sum(counts.values()) - orders_then) / span)


@click.command("watch")
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop after so long.  [default: Ctrl-C]")
@json_option
def watch_command(seconds: float | None, as_json: bool) -> None:
    """Watch invoices change, live. With --json each status change is printed as its event, as it comes."""
    with open_database() as database:
        if as_json:
            for row in follow_events(database, seconds):
                print_bytes(row.body)
            return
        _show_live(database, seconds)


def _show_live(database: Database, seconds: float | None) -> None:
    from rich.live import Live

    lookout = Lookout()
    deadline = None if seconds is None else time.monotonic() + seconds
    screen = console()
    with Live(console=screen, auto_refresh=False, transient=False) as live:
        while True:
            began = time.monotonic()
            picture = lookout.look(database)
            live.update(draw(picture), refresh=screen.is_terminal)
            rest = max(REFRESH_SECONDS, REST_FACTOR * (time.monotonic() - began))
            if deadline is not None:
                rest = min(rest, deadline - time.monotonic())
            if rest <= 0:
                return
            time.sleep(rest)


def draw(picture: Picture, title: str = "invoices") -> RenderableType:
    """The picture as one renderable: counts on top, the newest changes below."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    heading = Text(f"{picture.events_per_second:.1f} events/s   {picture.orders_per_second:.1f} orders/s", style="dim")
    return Panel(Group(draw_counts(picture.counts), heading, Text(), draw_newest(picture.newest)), title=title)


def draw_counts(counts: dict[str, int]) -> RenderableType:
    """A bar for each status that occurs."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(min_width=15)
    table.add_column(justify="right", min_width=7)
    table.add_column(ratio=1)
    total = max(sum(counts.values()), 1)
    for status in STATUSES:
        if status in counts:
            style = STATUS_STYLES[status]
            bar = ProgressBar(total=total, completed=counts[status], width=50, complete_style=style or "white")
            table.add_row(Text(status, style=style), f"{counts[status]}", bar)
    if not counts:
        table.add_row("no invoices yet", "", "")
    return table


def draw_newest(rows: list[StoredRow]) -> RenderableType:
    """The invoices that changed last, a line each."""
    return _Newest([_line(row) for row in rows])


class _Newest:
    """A table that rich lays out as wide as there is room."""

    def __init__(self, lines: Sequence[Sequence[object]]) -> None:
        self._lines = lines

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        laid = lay_out(NEWEST_COLUMNS, self._lines, options.max_width)
        yield Text(GAP.join(laid.heading), style="bold", no_wrap=True, overflow="ellipsis")
        for cells in laid.lines:
            line = Text(no_wrap=True, overflow="ellipsis")
            for number, cell in enumerate(cells):
                line.append(GAP if number else "").append(cell.text, style=cell.style)
            yield line


def _line(row: StoredRow) -> tuple[object, ...]:
    return (
        f"{row.updated_at:%H:%M:%S}",
        row.order_id,
        row.account,
        status_cell(row.status, row.anomaly),
        money(row.pay_amount, row.pay_currency),
        row.reason,
    )
