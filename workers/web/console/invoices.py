"""``/console/invoices``: which invoices match a filter, and what each waits for next."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.money import format_amount
from domain.permissions import Action
from domain.status import Anomaly, Status
from workers.store.endpoints import list_endpoints
from workers.store.reads.endpoints import is_within
from workers.store.reads.outlooks import read_outlooks
from workers.store.reads.selection import COUNTED, Page, Selection, read_page
from workers.store.rows import StoredRow
from workers.web.console.console import Console
from workers.web.console.downloads import Downloads
from workers.web.console.filters import BEFORE, LISTS, find_filter, query_of
from workers.web.console.invoices_csv import KIND, reader_of
from workers.web.console.next_words import Next, next_of
from workers.web.console.person import Person

PLACE = "/console/invoices"
PAGE = 50
#: What can be done to everything that matches.
ACTS = (Action.CANCEL, Action.RECHECK, Action.REDRIVE, Action.REPLAY, Action.MARK)
#: Pages are drawn anew this often while somebody looks: times of what happens next go by.
LIVE_SECONDS = 10.0
#: How many decimals a column may have room for.
WIDTHS = (0, 2, 6, 9, 12, 18)


@dataclass(frozen=True, slots=True)
class Day:
    """Invoices that were made on one day, by UTC."""

    day: date
    is_today: bool
    rows: Sequence[tuple[StoredRow, Next]]


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of them as it is drawn."""

    page: Page
    rows: Sequence[tuple[StoredRow, Next]]

    def days(self) -> list[Day]:
        """Newest first, as the rows come."""
        days: list[Day] = []
        for row, following in self.rows:
            made = row.created_at.date()
            if not days or days[-1].day != made:
                days.append(Day(made, made == datetime.now(UTC).date(), []))
            days[-1] = Day(made, days[-1].is_today, [*days[-1].rows, (row, following)])
        return days

    def width(self, *columns: str) -> int:
        """How many decimals these columns need room for."""
        most = max((_decimals(getattr(row, name)) for row, _ in self.rows for name in columns), default=0)
        return next((width for width in WIDTHS if width >= most), WIDTHS[-1])


class Invoices:
    """The list, and its CSV."""

    def __init__(self, console: Console, downloads: Downloads) -> None:
        self._console = console
        self._downloads = downloads

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}.csv", self.csv),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        chosen = await find_filter(self._console, request, person)
        if _came_from_a_form(request):
            return RedirectResponse(f"{PLACE}?{chosen.query}".rstrip("?"), 303)
        listed = await self._console.ask(read_listed, self._console, chosen.selection, chosen.before, person)
        page = listed.page
        return await self._console.draw(
            request,
            person,
            "invoices.html",
            listed=listed,
            filter=chosen,
            can_act=any(person.may(action) for action in ACTS),
            counted=COUNTED,
            older=None if page.older is None else f"?{query_of({**chosen.given, BEFORE: page.older})}",
            looked_to=None if page.looked_to is None else time_of_id(page.looked_to),
            command=chosen.command(person.accounts, page.meant == "order"),
            link=f"{request.url.scheme}://{request.url.netloc}{PLACE}?{chosen.query}".rstrip("?"),
            accounts=sorted(filter(person.sees, self._console.accounts)),
            statuses=list(Status),
            anomalies=list(Anomaly),
        )

    async def csv(self, request: Request, person: Person) -> Response:
        """All of them."""
        chosen = await find_filter(self._console, request, person)
        read = reader_of(self._console, chosen.selection)
        return await self._downloads.send(request, person, read, "invoices.csv", KIND)


def read_listed(
    console: Console, selection: Selection, before: str | None, person: Person, limit: int = PAGE
) -> Listed:
    """A page of what is chosen, with what comes next for each."""
    database = console.store.database
    page = database.read(read_page, selection, before=before, limit=limit)
    return Listed(page, list(with_next(console, page.rows, person)))


def with_next(console: Console, rows: Sequence[StoredRow], person: Person) -> Iterator[tuple[StoredRow, Next]]:
    """Each with what comes next, as far as the person may be told."""
    database = console.store.database
    sees: Collection[str] | None = None
    if person.accounts is not None:
        sees = {one.id for one in database.read(list_endpoints) if is_within(one, person.accounts)}
    outlooks = database.read(read_outlooks, database, rows, sees)
    return zip(rows, map(next_of, outlooks), strict=True)


def time_of_id(invoice_id: str) -> datetime:
    """When it was made, by the clock of the host that made it."""
    return datetime.fromtimestamp(int(invoice_id[4:16], 16) / 1000, UTC)


def _came_from_a_form(request: Request) -> bool:
    """Fields that were left empty, and boxes of one name: what is shown and copied has neither."""
    pairs = request.query_params.multi_items()
    repeated = any(sum(other == name for other, _ in pairs) > 1 for name in LISTS)
    return repeated or any(not value for _, value in pairs)


def _decimals(amount: Decimal | None) -> int:
    return 0 if amount is None else len(format_amount(amount).partition(".")[2])
