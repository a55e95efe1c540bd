"""``/console/accounts``: how each account at a provider does, and what it is set to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from pydantic import BaseModel, SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.account import Account, MissingKey
from domain.exact_json import JsonError, read_json
from domain.money import format_amount
from domain.why import Cause, Late
from workers.store.acts import MASK
from workers.store.reads.account_states import ANSWERS, AccountState, read_account_states, read_outcomes
from workers.store.reads.callbacks import Calls, read_calls, read_forged
from workers.store.reads.drift import list_drifts, sentence_of
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter
from workers.web.console.person import Person
from workers.web.console.pulse import Pulse
from workers.web.console.refusals import NotFound

PLACE = "/console/accounts"
LIVE_SECONDS = 10.0
ANSWERS_SHOWN, DRIFTS_SHOWN = 20, 20
NOTHING = "\N{EN DASH}"
#: For how long a callback with a wrong signature is shown.
RECENT = timedelta(days=1)
#: What holds an account up, most urgent first.
TROUBLES = (Cause.KEY_REFUSED, Cause.PROVIDER_REFUSES, Cause.PROVIDER_UNREACHABLE, Cause.WAITS_FOR_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What holds an account up: how many invoices of it, since when, and the order of one of them."""

    cause: Cause
    invoices: int
    since: datetime | None
    example: str | None
    order: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """An account in the list. ``most``: calls at a time that all workers together may have under way."""

    account: Account
    state: AccountState
    troubles: Sequence[Trouble]

    @property
    def most(self) -> int:
        """One worker's share where none has reported yet."""
        return self.account.max_in_flight * max(1, self.state.workers)


@dataclass(frozen=True, slots=True)
class Setting:
    """One of an account's settings. ``is_default``: nobody gave it."""

    name: str
    value: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """What is read for one account's own page."""

    state: AccountState
    calls: Calls
    forged_at: datetime | None
    drifts: Sequence[str]
    outcomes: Sequence[object]
    answers: Sequence[StoredRow]
    now: datetime


class Accounts:
    """The list, and one account."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/{{name}}", self.show, live_seconds=LIVE_SECONDS),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """Those that the person sees, by name."""
        read_filter(request, ())
        names = [name for name in self._console.accounts if person.sees(name)]
        database = self._console.store.database
        states = await self._console.ask(database.read, read_account_states, database, names)
        pulse = await self._console.pulse.take(person.accounts)
        rows = [Row(self._console.accounts[one.name], one, troubles_of(pulse, one.name)) for one in states]
        now = await self._console.ask(database.time)
        return await self._console.draw(request, person, "accounts.html", rows=rows, now=now)

    async def show(self, request: Request, person: Person) -> Response:
        """One of them."""
        read_filter(request, ())
        name = request.path_params["name"]
        account = self._console.accounts.get(name)
        if account is None or not person.sees(name):
            raise NotFound("There is no such account")
        beside = await self._console.ask(partial(self._read, name, person))
        pulse = await self._console.pulse.take(person.accounts)
        return await self._console.draw(
            request,
            person,
            "account.html",
            row=Row(account, beside.state, troubles_of(pulse, name)),
            beside=beside,
            settings=settings_of(account),
            callback_place=self._console.around.callback_place(name),
            forged_at=_odd(beside),
            answered=ANSWERS,
            reason_of=reason_of,
            commands=_commands(name, beside),
        )

    def _read(self, name: str, person: Person) -> Beside:
        database = self._console.store.database
        now = database.time()
        (state,) = database.read(read_account_states, database, [name])
        outcomes, answers = database.read(read_outcomes, name, person.accounts, ANSWERS_SHOWN)
        drifts = database.read(partial(list_drifts, limit=DRIFTS_SHOWN, account=name))
        calls = database.read(read_calls, name, now)
        forged_at = database.read(read_forged, name)
        return Beside(state, calls, forged_at, [sentence_of(one) for one in drifts], outcomes, answers, now)


def troubles_of(pulse: Pulse | None, name: str) -> list[Trouble]:
    """What holds an account up, the most urgent first."""
    overview = None if pulse is None else pulse.overview
    if overview is None:
        return []
    found: dict[Cause, Trouble] = {}
    for part in overview.parts:
        cause = part.late.cause
        if part.at == name and cause in TROUBLES:
            found[cause] = _more(found.get(cause), part.late, overview.orders)
    return [found[cause] for cause in TROUBLES if cause in found]


def _more(before: Trouble | None, late: Late, orders: Mapping[str, str]) -> Trouble:
    """Another part of the same."""
    known = () if before is None else (before.since,)
    since = min((time for time in (late.oldest_since, *known) if time is not None), default=None)
    example = late.example if before is None or before.example is None else before.example
    count = late.count + (0 if before is None else before.invoices)
    return Trouble(late.cause, count, since, example, orders.get(example or ""))


def settings_of(account: Account) -> list[Setting]:
    """All of them, without a secret."""
    return [
        Setting(name, _shown(getattr(account, name)), name not in account.model_fields_set)
        for name in type(account).model_fields
        if name != "name"
    ]


def _shown(value: object) -> str:
    if isinstance(value, MissingKey):
        return value.why
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Decimal):
        return format_amount(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, BaseModel):
        return ", ".join(f"{name} {_shown(getattr(value, name))}" for name in type(value).model_fields)
    if value is None:
        return NOTHING
    return f"{value:g}" if isinstance(value, float) else str(value)


def reason_of(row: StoredRow) -> str:
    """What was said, in a few words."""
    try:
        detail: object = read_json(row.detail)
    except (JsonError, RecursionError):
        return ""
    fields: Mapping[str, object] = detail if isinstance(detail, dict) else {}
    return next((str(fields[name]) for name in ("reason", "word", "provider_ref") if fields.get(name)), "")


def _odd(beside: Beside) -> datetime | None:
    """A wrong signature since the last right one may be the provider's own."""
    at, last = beside.forged_at, beside.calls.last_at
    return at if at is not None and beside.now - at < RECENT and (last is None or at > last) else None


def _commands(name: str, beside: Beside) -> list[tuple[str, str]]:
    """What helps, and what it is for."""
    account = shlex.quote(name)
    found = [("Look for what is wrong with it", "invoices doctor")]
    if beside.state.doubts:
        found.append(("List its invoices in doubt", f"invoices list --account {account} --status in_doubt"))
    found.append(("See whether its callbacks would arrive", f"invoices callbacks test {account}"))
    if beside.drifts:
        found.append(("Accept what is new in its answers", f"invoices drift accept --account {account} --reason '…'"))
    return found
