"""Filters of invoices: the query of the page is the filter, and the same chooses its CSV and what is acted on."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from starlette.requests import Request

from domain.moments import read_moment
from domain.status import Anomaly, Status
from workers.store.reads.search import accounts_with_invoices
from workers.store.reads.selection import Selection
from workers.web.api.invoice_reads import is_id
from workers.web.console.console import Console, read_filter
from workers.web.console.person import Person
from workers.web.console.refusals import Refused

#: In the order in which they are shown.
NAMES = ("needs", "status", "anomaly", "account", "asset", "since", "until", "q")
LISTS = ("status", "anomaly", "account", "asset")
BEFORE = "before"
PERSON = "person"
MOST_VALUES, LONGEST_ASSET = 100, 64
_OPEN = "queued,in_doubt,pending,partially_paid,confirming"

#: The list's tabs: their names, and what each chooses by.
VIEWS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("All", {}),
    ("Open", {"status": _OPEN}),
    ("Needs a person", {"needs": PERSON}),
    ("Paid", {"status": "paid"}),
    ("Late or wrong amount", {"anomaly": "late,underpaid,overpaid"}),
    ("Ended without money", {"status": "expired,failed,cancelled"}),
)
_OF_VIEWS = frozenset(name for _, given in VIEWS for name in given)


@dataclass(frozen=True, slots=True)
class View:
    """A tab."""

    name: str
    query: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """What was given, by name, and what it chooses of all that the person sees."""

    given: Mapping[str, str]
    selection: Selection
    before: str | None = None

    @property
    def query(self) -> str:
        """As it stands in an address; without the place that a page begins at."""
        return query_of(self.given)

    def without(self, name: str) -> str:
        """The query without one of them."""
        return query_of({one: value for one, value in self.given.items() if one != name})

    def views(self) -> list[View]:
        """The tabs. Each keeps what it does not choose by itself."""
        rest = {name: value for name, value in self.given.items() if name not in _OF_VIEWS}
        chosen = {name: _parts(value) for name, value in self.given.items() if name in _OF_VIEWS}
        return [
            View(name, query_of(dict(view) | rest), chosen == {one: _parts(value) for one, value in view.items()})
            for name, view in VIEWS
        ]

    def command(self, accounts: Collection[str] | None, is_order: bool) -> str | None:
        """The command line's that lists the same; None where it has none. ``is_order``: ``q`` is an order id."""
        if "needs" in self.given or ("q" in self.given and not is_order):
            return None
        chosen = {"account": accounts} if accounts is not None and "account" not in self.given else {}
        words = ["invoices", "list"]
        for name, option in _OPTIONS.items():
            value = self.given.get(name)
            for one in (value.split(",") if name in LISTS else [value]) if value else sorted(chosen.get(name, ())):
                words += [option, one]
        return shlex.join(words)


_OPTIONS = {"status": "--status", "anomaly": "--anomaly", "account": "--account", "asset": "--asset",
            "since": "--since", "until": "--until", "q": "--order"}  # fmt: skip


def query_of(given: Mapping[str, str]) -> str:
    """As it stands behind the question mark; nothing of nothing."""
    ordered = {name: given[name] for name in (*NAMES, BEFORE) if name in given}
    return urlencode(
        ordered | {name: value for name, value in given.items() if name not in ordered}, quote_via=quote, safe=",:"
    )


def _parts(value: str) -> set[str]:
    return set(value.split(","))


async def find_filter(console: Console, request: Request, person: Person, beside: Iterable[str] = ()) -> Filter:
    """The request's. ``beside``: parameters that are none of it. Raises Refused 400."""
    given = read_filter(request, (*NAMES, BEFORE, *beside), LISTS)
    return await filter_of(console, {name: value for name, value in given.items() if name not in beside}, person)


async def filter_of(console: Console, given: Mapping[str, str], person: Person) -> Filter:
    """Of what was given. Raises Refused 400."""
    values = {name: _values(name, given.get(name, "")) for name in LISTS}
    for name, known in (("status", Status), ("anomaly", Anomaly)):
        _require(name, values[name], [one.value for one in known])
    await _require_accounts(console, values["account"], person)
    if any(len(asset) > LONGEST_ASSET for asset in values["asset"]):
        raise _unusable("asset", "is too long")
    if given.get("needs", PERSON) != PERSON:
        raise _unusable("needs", f"can only be {PERSON!r}")
    before = given.get(BEFORE)
    if before is not None and not is_id(before):
        raise _unusable(BEFORE, "must be an invoice's id")
    since, until = _moment("since", given), _moment("until", given)
    if since is not None and until is not None and until <= since:
        raise _unusable("until", "must be later than since")
    selection = Selection(
        statuses=values["status"],
        anomalies=values["anomaly"],
        accounts=frozenset(values["account"]) if values["account"] else None,
        assets=values["asset"],
        name=given.get("q"),
        since=since,
        until=until,
        needs_person="needs" in given,
    )
    shown = {name: ",".join(values[name]) if name in LISTS else given[name] for name in NAMES if given.get(name)}
    return Filter(shown, selection.within(person.accounts), before)


def _values(name: str, text: str) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if len(values) > MOST_VALUES:
        raise _unusable(name, f"has more than {MOST_VALUES} values")
    return values


def _moment(name: str, given: Mapping[str, str]) -> datetime | None:
    if name not in given:
        return None
    try:
        return read_moment(given[name], datetime.now(UTC))
    except ValueError as error:
        raise _unusable(name, str(error)) from None


async def _require_accounts(console: Console, names: Collection[str], person: Person) -> None:
    """One that is no longer configured may have invoices; what is not for the person's eyes is as good as missing."""
    seen = [name for name in console.accounts if person.sees(name)]
    if not set(names) <= set(seen):
        made = await console.ask(console.store.database.read, accounts_with_invoices)
        _require("account", names, sorted({*seen, *filter(person.sees, made)}))


def _require(name: str, values: Collection[str], known: Collection[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        raise _unusable(name, f"there is no {unknown[0][:80]!r}; there are {', '.join(known) or 'none'}")


def _unusable(name: str, why: str) -> Refused:
    return Refused(400, "The filter can't be used", f"{name}: {why}")
