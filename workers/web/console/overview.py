"""``/console/``: is anything late, why, and what helps; how fast things go, what is open, what went otherwise."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.figures import Speed
from domain.money import EXACT, decimals_of
from domain.status import Status
from domain.why import Verdict
from workers.store.acts import bare_url
from workers.store.reads.figures.figures import Figures, read_figures
from workers.store.reads.figures.standing import SOON, Count, Group, Standing
from workers.web.console.console import Console, read_filter
from workers.web.console.figures import FiguresReader
from workers.web.console.late import headline, late_rows
from workers.web.console.person import Person
from workers.web.console.pulse import Pulse, is_held
from workers.web.console.sparkline import Sparkline, sparkline

#: It is drawn anew after this time even if nothing has changed: ages grow.
LIVE_SECONDS = 10.0
SLOTS = 30
#: Rows of the short tables; there are pages for all.
SHORT = 8
LONG = 11  #: decimals that a column of amounts has room for


@dataclass(frozen=True, slots=True)
class Stat:
    """A figure, its course over the last hour, and whether it is what it should be. ``seconds`` or ``orders`` None:
    there was nothing to measure."""

    name: str
    about: str  #: what the chart shows
    chart: Sparkline
    since: datetime
    step: int = 1
    seconds: float | None = None
    orders: int | None = None
    goal: float | None = None

    @property
    def is_met(self) -> bool:
        """It is below its goal."""
        return self.goal is None or self.seconds is None or self.seconds < self.goal


@dataclass(frozen=True, slots=True)
class Money:
    """What waits in one asset on one network; by the price of orders, where no provider tells more."""

    asset: str
    network: str | None
    to_come: Decimal | None
    seen: Decimal | None

    @property
    def is_long(self) -> bool:
        """Its decimals need more room than a bitcoin's."""
        return any(one is not None and decimals_of(one) > LONG for one in (self.to_come, self.seen))


@dataclass(frozen=True, slots=True)
class OpenRow:
    """Open invoices of one status; ``what`` with ``number``, ``name`` or ``at`` in it: what to know of them."""

    count: Count
    what: str
    number: int = 0
    name: str = ""
    at: datetime | None = None


class OverviewPage:
    """The page."""

    def __init__(self, console: Console) -> None:
        self._console = console
        database = console.store.database
        self.figures = FiguresReader(
            console.threads, partial(database.read, read_figures, database, sorted(console.accounts))
        )

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [self._console.route("/console/", self.page, live_seconds=LIVE_SECONDS)]

    async def page(self, request: Request, person: Person) -> Response:
        """For one person."""
        read_filter(request, ())
        pulse = await self._console.pulse.take(person.accounts) or _NOTHING
        endpoints = {one.id for one in pulse.endpoints}
        figures = await self.figures.take(person.accounts, endpoints, self._console.patience(request))
        content = {**_late(pulse, figures), **_short_tables(pulse), **_standing(figures), "figures": figures}
        content |= {"stats": () if figures is None else stats_of(figures), "short": SHORT}
        return await self._console.draw(request, person, "overview.html", 200, **content)


#: While the database is away, as far as the verdict goes.
_NOTHING = Pulse(Verdict.STALLED, ())


def _late(pulse: Pulse, figures: Figures | None) -> dict[str, object]:
    overview = pulse.overview
    disabled = {one.id for one in pulse.endpoints if one.disabled_at is not None}
    held = 0 if figures is None else sum(group.held for group in figures.standing.groups)
    rows = [] if overview is None else late_rows(overview, held, disabled)
    return {"overview": overview, "headline": None if overview is None else headline(overview), "late": rows}


def _short_tables(pulse: Pulse) -> dict[str, object]:
    """Endpoints that are held stand first."""
    return {
        "endpoints": sorted(pulse.endpoints, key=lambda one: (not is_held(one, pulse.breakers), one.id)),
        "places": {one.id: bare_url(one.url).partition("://")[2].rstrip("/") for one in pulse.endpoints},
        "breakers": pulse.breakers,
        "refused": pulse.refused,
        "counts": pulse.counts,
    }


def _standing(figures: Figures | None) -> dict[str, object]:
    if figures is None:
        return {}
    counts = figures.standing.counts
    return {
        "standing": open_rows(figures.standing, figures.now),
        "open_count": sum(one.invoices for one in counts),
        "open_is_more": any(one.is_more for one in counts),
        "money": money_of(figures.standing),
        "money_is_cut": figures.standing.is_cut,
        "accounts": figures.accounts,
    }


def stats_of(figures: Figures) -> list[Stat]:
    """In the order of an invoice's way."""
    arrivals, speeds = figures.arrivals, figures.speeds
    chart = sparkline(arrivals.over_time(figures.now))
    orders = Stat("Orders a minute", "orders a minute", chart, arrivals.since, orders=arrivals.now_a_minute())
    named = (
        ("Order to payable, p99", speeds.payable),
        ("Expiry lateness, p99", speeds.lateness),
        ("Callback to change, p99", speeds.called),
        ("Change to delivered, p99", speeds.delivered),
    )
    return [orders, *(_stat(name, speed, figures.now) for name, speed in named)]


def _stat(name: str, speed: Speed, now: datetime) -> Stat:
    chart = sparkline(speed.over_time(now, SLOTS), speed.goal_seconds)
    seconds = speed.overall()
    return Stat(name, name, chart, speed.since, speed.step, seconds=seconds, goal=speed.goal_seconds)


def open_rows(standing: Standing, now: datetime) -> list[OpenRow]:
    """Of each status that occurs."""
    return [_open_row(one, standing, now) for one in standing.counts if one.invoices]


def _open_row(count: Count, standing: Standing, now: datetime) -> OpenRow:
    groups = [one for one in standing.groups if one.status is count.status]
    endings = [one.at for one in standing.endings if one.status is count.status]
    held, late = sum(one.held for one in groups), sum(one.invoices for one in groups if one.anomaly == "late")
    soon = sum(1 for at in endings if at - now <= SOON)
    if count.status is Status.QUEUED and groups:
        most = max(groups, key=lambda one: one.invoices)
        return OpenRow(count, "{number} of {name}", most.invoices, most.account)
    if count.status is Status.IN_DOUBT:
        return OpenRow(count, "{number} held until a person decides" if held else "created again by itself", held)
    if count.status is Status.PARTIALLY_PAID and soon:
        return OpenRow(count, "{number} expire within 10 min", soon)
    if endings:
        return OpenRow(count, "next to expire", at=endings[0])
    return OpenRow(count, "{number} paid late" if late else "", late)


def money_of(standing: Standing) -> list[Money]:
    """By asset and network, never summed across assets."""
    found: dict[tuple[str, str], list[Group]] = {}
    for one in standing.groups:
        if one.asset is not None:
            found.setdefault((one.asset, one.network or ""), []).append(one)
    return [
        Money(asset, network or None, _sum([one.to_come for one in groups]), _sum([one.seen for one in groups]))
        for (asset, network), groups in sorted(found.items())
    ]


def _sum(amounts: Collection[Decimal | None]) -> Decimal | None:
    total: Decimal | None = None
    for amount in amounts:
        if amount is not None:
            total = amount if total is None else EXACT.add(total, amount)
    return total
