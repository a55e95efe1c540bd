"""``/console/audit``: what people did by hand: who, when, from where, what, why, before and after."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.event import format_time
from domain.exact_json import JsonError, read_json, write_json
from domain.moments import read_moment
from domain.sheets import csv_line
from workers.store.acts import Act
from workers.store.reads.acts import Page, Wanted, act_fields, page_of_acts
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter
from workers.web.console.downloads import Downloads, Read
from workers.web.console.person import Person
from workers.web.console.refusals import Refused

PLACE = "/console/audit"
FILTERS = ("by", "act", "invoice", "endpoint", "since", "until")
PAGE, EXPORTED = 50, 500
LIVE_SECONDS = 30.0
COLUMNS = ("id", "at", "by", "origin", "act", "invoice_id", "endpoint_id", "account", "callback_id", "message_id")
CHANGES = ("reason", "before", "after")

#: What is done, in English; the view translates. An act without words is told by its name.
WORDS: Mapping[str, str] = {
    Act.MARK: "marked an invoice",
    Act.CANCEL: "cancelled an invoice",
    Act.RECHECK: "had an invoice looked up",
    Act.CREATE_AGAIN: "had an invoice created again",
    Act.ADD_ENDPOINT: "added an endpoint",
    Act.CHANGE_ENDPOINT: "changed an endpoint",
    Act.ROTATE_SECRET: "rotated an endpoint's secret",
    Act.RESEAL_SECRETS: "encrypted secrets anew",
    Act.DISABLE_ENDPOINT: "disabled an endpoint",
    Act.ENABLE_ENDPOINT: "enabled an endpoint",
    Act.REMOVE_ENDPOINT: "began to remove an endpoint",
    Act.ENDPOINT_REMOVED: "removed an endpoint",
    Act.REPLAY: "replayed events",
    Act.BEGIN_JOB: "began a job",
    Act.STOP_JOB: "stopped a job",
    Act.PAUSE_JOB: "paused a job",
    Act.RESUME_JOB: "resumed a job",
    Act.SEND_AGAIN: "sent a message again",
    Act.UNPARK: "unparked a row",
    Act.LINK: "linked a callback",
    Act.DISMISS: "dismissed a callback",
    Act.ACCEPT_DRIFT: "accepted new answers",
    Act.RESTORED: "told of a restored database",
    Act.MOVED: "moved everything here from another database",
    Act.ARCHIVED: "archived invoices",
    Act.ADD_TOKEN: "added a token",
    Act.REVOKE_TOKEN: "revoked a token",
    Act.ADD_PERSON: "added a person",
    Act.CHANGE_ROLE: "changed a role",
    Act.CHANGE_PASSWORD: "changed a password",
    Act.REMOVE_PERSON: "removed a person",
    Act.END_SESSIONS: "ended sessions",
    Act.SIGN_IN: "signed in",
    Act.SIGN_OUT: "signed out",
    Act.ADD_LINK: "made a link to sign in",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One value. ``before`` or ``after`` None: it is not told."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One act as it is shown."""

    row: StoredRow
    words: str
    origin: str | None
    changes: Sequence[Change]


class Audit:
    """The list, and the same as a file."""

    def __init__(self, console: Console, downloads: Downloads) -> None:
        self._console = console
        self._downloads = downloads

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}.csv", self.as_csv),
            self._console.route(f"{PLACE}.jsonl", self.as_json_lines),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of it, newest first."""
        given = read_filter(request, (*FILTERS, "before"))
        before = _number(given.pop("before", None))
        page = await self._read(given, person, before, PAGE)
        query = urlencode(given)
        older = None if page.before is None else f"{PLACE}?{urlencode({**given, 'before': page.before})}"
        return await self._console.draw(
            request,
            person,
            "audit.html",
            given=given,
            lines=[line_of(row, person) for row in page.rows],
            older=older,
            is_first=before is None,
            acts=list(WORDS.items()),
            query=f"?{query}" if query else "",
            chips=_chips(given),
            command=command_of(given),
        )

    async def as_csv(self, request: Request, person: Person) -> Response:
        """Exactly what the filter finds, for a spreadsheet."""
        given = read_filter(request, FILTERS)
        read = self._reader(given, person, lambda row: csv_line(_cells(row, person)), csv_line((*COLUMNS, *CHANGES)))
        return await self._downloads.send(request, person, read, "audit.csv", "text/csv; charset=utf-8")

    async def as_json_lines(self, request: Request, person: Person) -> Response:
        """The same, a line of JSON each, as ``invoices audit --json`` prints it."""
        given = read_filter(request, FILTERS)

        def line(row: StoredRow) -> str:
            return f"{write_json(act_fields(row) | {'origin': _origin(row, person)})}\n"

        read = self._reader(given, person, line)
        return await self._downloads.send(request, person, read, "audit.jsonl", "application/jsonl; charset=utf-8")

    def _reader(
        self, given: Mapping[str, str], person: Person, line: Callable[[StoredRow], str], head: str = ""
    ) -> Read[int]:
        async def read(before: int | None) -> tuple[bytes, int | None]:
            page = await self._read(given, person, before, EXPORTED)
            text = "".join(map(line, page.rows))
            return f"{head if before is None else ''}{text}".encode("utf-8", "replace"), page.before

        return read

    async def _read(self, given: Mapping[str, str], person: Person, before: int | None, limit: int) -> Page:
        wanted = wanted_of(given, datetime.now(UTC))
        read = partial(page_of_acts, before=before, limit=limit)
        return await self._console.ask(self._console.store.database.read, read, wanted, person.accounts)


def wanted_of(given: Mapping[str, str], now: datetime) -> Wanted:
    """The filter that the address is. Raises Refused for a time that is none."""
    return Wanted(
        by=given.get("by"),
        act=given.get("act"),
        invoice_id=given.get("invoice"),
        endpoint_id=given.get("endpoint"),
        since=_moment("since", given, now),
        until=_moment("until", given, now),
    )


def _moment(name: str, given: Mapping[str, str], now: datetime) -> datetime | None:
    if name not in given:
        return None
    try:
        return read_moment(given[name], now)
    except ValueError:
        raise Refused(
            400, "This time can't be read", "Write a time such as 2026-11-28T20:36:00Z, or an age such as 12h."
        ) from None


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Refused(400, "There is no such page of the list", "Begin again with the newest.")
    return int(text)


def line_of(row: StoredRow, person: Person) -> Line:
    """For this person."""
    return Line(row, WORDS.get(row.act, row.act), _origin(row, person), changes_of(row.before, row.after))


def _origin(row: StoredRow, person: Person) -> str | None:
    """Where others acted from is not shown to those who see some accounts only."""
    return str(row.origin) if person.accounts is None else None


def changes_of(before: str | None, after: str | None) -> list[Change]:
    """The values that differ: those of ``after``, or of ``before`` where the thing is gone."""
    was, became = _values(before), _values(after)
    names = became if after is not None else was
    return [Change(name, was.get(name), became.get(name)) for name in names if was.get(name) != became.get(name)]


def _values(text: str | None) -> dict[str, str | None]:
    try:
        found = read_json(text) if text else {}
    except (JsonError, RecursionError):
        return {"": text}
    return {str(name): _shown(value) for name, value in found.items()} if isinstance(found, dict) else {"": text}


def _shown(value: object) -> str | None:
    """None for what is nothing."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or None
    return write_json(value)


def _chips(given: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Each filter's name and value, and the address without it."""
    left = ((name, {other: value for other, value in given.items() if other != name}) for name in given)
    return [(name, given[name], PLACE + (f"?{urlencode(others)}" if others else "")) for name, others in left]


def command_of(given: Mapping[str, str]) -> str:
    """The command that lists the same."""
    return " ".join(["invoices audit", *(f"--{name} {shlex.quote(value)}" for name, value in given.items())])


def _cells(row: StoredRow, person: Person) -> list[object]:
    cells = [getattr(row, name) for name in (*COLUMNS, *CHANGES)]
    cells[COLUMNS.index("at")] = format_time(row.at)
    cells[COLUMNS.index("origin")] = _origin(row, person)
    return cells
