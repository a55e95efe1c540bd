"""People are added, given another role or password, put out, removed: by the functions that `invoices users` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action, Role
from workers.store.operate import people
from workers.store.operate.people import NameTaken, NewPerson, NoSuchPerson
from workers.store.people import User, key_of
from workers.web.console.console import Console, read_form
from workers.web.console.people import PLACE, People, accounts_for, is_self, manages
from workers.web.console.person import Person
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound

ACCOUNT = "account:"
ROLES = tuple(role.value for role in Role)
NO_ROLE = "Choose a role."
OWN = "This is you: another admin can, or `invoices users` on the host."


class PeopleActs:
    """Each is a form of a page."""

    def __init__(self, console: Console, pages: People) -> None:
        self._console = console
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        route, acts = self._console.route, ("POST",)
        return [
            route(f"{PLACE}/add", self.form, Action.TOKENS),
            route(f"{PLACE}/add", self.add, Action.TOKENS, acts),
            route(f"{PLACE}/end-sessions", self.end_others, Action.TOKENS, acts),
            route(f"{PLACE}/{{id}}/role", self.role, Action.TOKENS, acts),
            route(f"{PLACE}/{{id}}/password", self.password, Action.TOKENS, acts),
            route(f"{PLACE}/{{id}}/end-sessions", self.end, Action.TOKENS, acts),
            route(f"{PLACE}/{{id}}/remove", self.remove, Action.TOKENS, acts),
        ]

    async def form(self, request: Request, person: Person) -> Response:
        """For somebody new."""
        return await self._draw_form(request, person, {})

    async def add(self, request: Request, person: Person) -> Response:
        """Add them; the password is shown in the answer and nowhere else."""
        choices = accounts_for(self._console, person)
        given = await read_form(request, {"name", "role", "reason", *(f"{ACCOUNT}{one}" for one in choices)})
        name = " ".join(given.get("name", "").split())
        why = _why_no_name(name) or _why_no_role(given) or why_no_reason(given)
        if why is not None:
            return await self._draw_form(request, person, given, why)
        new, actor = (
            NewPerson(name, Role(given["role"]), _chosen(given, person)),
            person.acting(given["reason"].strip()),
        )
        try:
            password = await self._console.ask(people.add, self._console.store, actor, new)
        except NameTaken:
            return await self._draw_form(request, person, given, "Somebody has this name already.", 409)
        return await self._draw_password(request, person, name, password, is_new=True)

    async def role(self, request: Request, person: Person) -> Response:
        """Another role, and the accounts that go with it."""
        user = await self._pages.find(request, person)
        choices = accounts_for(self._console, person, user.accounts)
        given = await read_form(request, {"role", "reason", *(f"{ACCOUNT}{one}" for one in choices)})
        why = _why_own(person, user) or _why_no_role(given) or why_no_reason(given)
        if why is not None:
            return await self._again(request, person, user, why, given, "role")
        new = NewPerson(user.name, Role(given["role"]), _chosen(given, person))
        await self._do(people.change_role, person, given, new)
        return RedirectResponse(f"{PLACE}/{user.id}?done=role", 303)

    async def password(self, request: Request, person: Person) -> Response:
        """A new password, shown in the answer and nowhere else."""
        user, given = await self._pages.find(request, person), await read_form(request, ("reason",))
        why = why_no_reason(given)
        if why is not None:
            return await self._again(request, person, user, why, given, "password")
        password = await self._do(people.change_password, person, given, user.name)
        return await self._draw_password(request, person, user.name, str(password), is_new=False)

    async def end(self, request: Request, person: Person) -> Response:
        """End their sessions."""
        user, given = await self._pages.find(request, person), await read_form(request, ("reason",))
        why = why_no_reason(given)
        if why is not None:
            return await self._again(request, person, user, why, given, "end-sessions")
        await self._do(people.end_sessions, person, given, user.name)
        return RedirectResponse(f"{PLACE}/{user.id}?done=ended", 303)

    async def remove(self, request: Request, person: Person) -> Response:
        """Let them sign in no more."""
        user, given = await self._pages.find(request, person), await read_form(request, ("reason", "sure"))
        why = _why_own(person, user) or why_no_reason(given)
        if why is None and given.get("sure") != "yes":
            why = "Tick that they may sign in no more."
        if why is not None:
            return await self._again(request, person, user, why, given, "remove")
        await self._do(people.remove, person, given, user.name)
        return RedirectResponse(f"{PLACE}?done=removed", 303)

    async def end_others(self, request: Request, person: Person) -> Response:
        """End the sessions of somebody who has no password here, and so no page."""
        given = await read_form(request, ("name", "reason"))
        name = given.get("name", "")
        why = why_no_reason(given)
        if why is not None:
            return await self._pages.draw_list(request, person, 422, problem=why)
        if not await self._console.ask(self._may_end, person, name):
            raise NotFound("Nobody of this name is signed in")
        await self._do(people.end_sessions, person, given, name)
        return RedirectResponse(f"{PLACE}?done=ended", 303)

    def _may_end(self, person: Person, name: str) -> bool:
        """Whether somebody of this name is signed in, and nobody of it sees more than the person."""
        sessions = self._pages.read_sessions(name)
        return bool(sessions) and all(manages(person, one.accounts) for one in sessions)

    async def _do(
        self, act: Callable[..., object], person: Person, given: Mapping[str, str], what: NewPerson | str
    ) -> object:
        """Raises NotFound where they were removed meanwhile."""
        try:
            return await self._console.ask(act, self._console.store, person.acting(given["reason"].strip()), what)
        except NoSuchPerson:
            raise NotFound("There is nobody with this id") from None

    async def _again(
        self, request: Request, person: Person, user: User, why: str, given: Mapping[str, str], form: str
    ) -> Response:
        return await self._pages.draw(request, person, user, 422, problem=why, given=given, opened=form)

    async def _draw_form(
        self, request: Request, person: Person, given: Mapping[str, str], problem: str | None = None, status: int = 422
    ) -> Response:
        choices = accounts_for(self._console, person)
        content = {"given": given, "problem": problem, "choices": choices, "roles": list(Role)}
        return await self._console.draw(request, person, "people-add.html", status if problem else 200, **content)

    async def _draw_password(
        self, request: Request, person: Person, name: str, password: str, *, is_new: bool
    ) -> Response:
        content = {"name": name, "password": password, "is_new": is_new, "quoted": quote(name)}
        return await self._console.draw(request, person, "people-password.html", 201, **content)


def _chosen(given: Mapping[str, str], person: Person) -> frozenset[str]:
    """The accounts that were ticked; none: all that the person sees, which is nothing to keep where that is all."""
    chosen = frozenset(name.removeprefix(ACCOUNT) for name in given if name.startswith(ACCOUNT))
    return chosen or person.accounts or frozenset()


def _why_no_name(name: str) -> str | None:
    try:
        key_of(name)
    except ValueError:
        return "A name has 1 to 100 characters."
    return None


def _why_no_role(given: Mapping[str, str]) -> str | None:
    return None if given.get("role") in ROLES else NO_ROLE


def _why_own(person: Person, user: User) -> str | None:
    return OWN if is_self(person, user.name) else None
