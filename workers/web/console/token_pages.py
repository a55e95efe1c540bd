"""``/console/people/tokens``: tokens of the HTTP interface are added, looked at and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.money import AmountError, parse_amount
from domain.permissions import Action, Scope
from workers.store.operate import tokens
from workers.store.operate.tokens import LONGEST_DAYS, MOST_PER_SECOND, NewToken
from workers.store.tokens import Token, find_tokens
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.people import PLACE as PEOPLE
from workers.web.console.people import accounts_for, manages
from workers.web.console.people_acts import ACCOUNT
from workers.web.console.person import Person
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound

PLACE = f"{PEOPLE}/tokens"
SCOPE = "scope:"
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Found:
    """A token, and the database's time."""

    token: Token
    at: datetime


class TokenPages:
    """Tokens, each with a page of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(f"{PLACE}/add", self.form, Action.TOKENS),
            self._console.route(f"{PLACE}/add", self.add, Action.TOKENS, ("POST",)),
            self._console.route(f"{PLACE}/{{id}}", self.show, Action.TOKENS),
            self._console.route(f"{PLACE}/{{id}}/revoke", self.revoke, Action.TOKENS, ("POST",)),
        ]

    async def form(self, request: Request, person: Person) -> Response:
        """For a new one."""
        return await self._draw_form(request, person, {})

    async def add(self, request: Request, person: Person) -> Response:
        """Add it; the token is shown in the answer and nowhere else."""
        chosen = [f"{SCOPE}{scope.value}" for scope in Scope]
        chosen += [f"{ACCOUNT}{one}" for one in accounts_for(self._console, person)]
        given = await read_form(request, {"name", "days", "per_second", "reason", *chosen})
        try:
            new = _read(given, person)
        except ValueError as error:
            return await self._draw_form(request, person, given, str(error))
        actor = person.acting(given["reason"].strip())
        token_id, token = await self._console.ask(tokens.add, self._console.store, actor, new)
        content = {"token_id": token_id, "token": token, "name": new.name}
        return await self._console.draw(request, person, "token-secret.html", 201, **content)

    async def show(self, request: Request, person: Person) -> Response:
        """One of them."""
        read_filter(request, ())
        return await self._draw(request, person, await self._find(request, person))

    async def revoke(self, request: Request, person: Person) -> Response:
        """Let it count no more."""
        found, given = await self._find(request, person), await read_form(request, ("reason",))
        why, status = why_no_reason(given), 422
        if why is None and found.token.revoked_at is not None:
            why, status = "It is revoked already.", 409
        if why is not None:
            return await self._draw(request, person, found, status, problem=why, given=given)
        await self._console.ask(
            tokens.revoke, self._console.store, person.acting(given["reason"].strip()), found.token.id
        )
        return RedirectResponse(f"{PEOPLE}?done=revoked", 303)

    async def _find(self, request: Request, person: Person) -> Found:
        """Raises NotFound: also for one that the person may not change."""
        token_id = request.path_params["id"]
        now, found = await self._console.ask(find_tokens, self._console.store.database, [token_id])
        token: Token | None = found.get(token_id)
        if token is None or not manages(person, token.accounts):
            raise NotFound("There is no such token")
        return Found(token, now)

    async def _draw(
        self,
        request: Request,
        person: Person,
        found: Found,
        status: int = 200,
        *,
        problem: str | None = None,
        given: Mapping[str, str] | None = None,
    ) -> Response:
        content = {"token": found.token, "at": found.at, "problem": problem, "given": given or {}}
        return await self._console.draw(request, person, "token.html", status, **content)

    async def _draw_form(
        self, request: Request, person: Person, given: Mapping[str, str], problem: str | None = None
    ) -> Response:
        choices = accounts_for(self._console, person)
        content = {"given": given, "problem": problem, "choices": choices, "scopes": list(Scope)}
        return await self._console.draw(request, person, "token-add.html", 422 if problem else 200, **content)


def _read(given: Mapping[str, str], person: Person) -> NewToken:
    """Raises ValueError with a sentence for the form."""
    name = " ".join(given.get("name", "").split())
    scopes = [scope for scope in Scope if f"{SCOPE}{scope.value}" in given]
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError("A name has 1 to 100 characters.")
    if not scopes:
        raise ValueError("Choose at least one scope.")
    chosen = frozenset(one.removeprefix(ACCOUNT) for one in given if one.startswith(ACCOUNT))
    days = _number(given.get("days", ""), LONGEST_DAYS, "Days are a number greater than 0 and at most 36500.")
    limit = _number(
        given.get("per_second", ""),
        MOST_PER_SECOND,
        "Requests a second are a number greater than 0 and at most 1000000.",
    )
    why = why_no_reason(given)
    if why is not None:
        raise ValueError(why)
    return NewToken(name, scopes, chosen or person.accounts or frozenset(), days, limit)


def _number(text: str, most: int, otherwise: str) -> Decimal | None:
    """None: left out. Raises ValueError with ``otherwise``."""
    if not text.strip():
        return None
    try:
        number = parse_amount(text.strip())
    except AmountError:
        number = Decimal(0)
    if not 0 < number <= most:
        raise ValueError(otherwise)
    return number
