"""What is done to an endpoint by hand: switched off and on, given a new secret, tested, removed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from workers.delivery.secretbox import SecretUnreadable
from workers.delivery.signature import new_secret
from workers.delivery.trial import send_trial, trial_of
from workers.store.operate import endpoints, secrets
from workers.store.operate.secrets import Rotation
from workers.web.console.console import Console, read_form
from workers.web.console.endpoint_states import answer_text
from workers.web.console.endpoints import PLACE, Endpoints
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound
from workers.web.threads import StillRunning

if TYPE_CHECKING:
    from workers.delivery.attempt import Outgoing
    from workers.store.reads.tries import Doing

#: For how long the old secret may sign beside the new one, by what the form says.
KEEP_HOURS = ("0", "1", "24", "72", "168")
#: The sender gives up before that.
TRIAL_SECONDS = 40.0
UNREADABLE = "Its secret can't be opened with INVOICES_SECRET_KEY: `invoices doctor` says more."


class EndpointActs:
    """Each is a form of the endpoint's page."""

    def __init__(self, console: Console, pages: Endpoints, reach: Reach) -> None:
        self._console = console
        self._pages = pages
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        acts = {
            "disable": self.disable,
            "enable": self.enable,
            "rotate": self.rotate,
            "test": self.test,
            "remove": self.remove,
        }
        return [
            self._console.route(f"{PLACE}/{{id}}/{name}", act, Action.ENDPOINTS, ("POST",))
            for name, act in acts.items()
        ]

    async def disable(self, request: Request, person: Person) -> Response:
        """Let its events wait."""
        doing, given = await self._pages.find(request, person), await read_form(request, ("reason",))
        why, status = why_no_reason(given), 422
        if why is None and doing.endpoint.disabled_at is not None:
            why, status = "It is disabled already.", 409
        if why is not None:
            return await self._again(request, person, doing, why, given, "disable", status)
        reason = given["reason"].strip()
        actor = person.acting(reason)
        await self._console.ask(endpoints.disable, self._console.store, actor, doing.endpoint.id, reason)
        return RedirectResponse(f"{PLACE}/{doing.endpoint.id}?done=disabled", 303)

    async def enable(self, request: Request, person: Person) -> Response:
        """Deliver again."""
        doing, given = await self._pages.find(request, person), await read_form(request, ("reason",))
        why, status = why_no_reason(given), 422
        if why is None and doing.endpoint.disabled_at is None:
            why, status = "It is enabled already.", 409
        if why is not None:
            return await self._again(request, person, doing, why, given, "enable", status)
        actor = person.acting(given["reason"].strip())
        await self._console.ask(self._reach.webhooks.reset_breaker, doing.endpoint.id)
        try:
            await self._console.ask(endpoints.enable, self._console.store, actor, doing.endpoint.id)
        except StillRunning:  # much waits: it goes on
            return RedirectResponse(f"{PLACE}/{doing.endpoint.id}?done=enabling", 303)
        return RedirectResponse(f"{PLACE}/{doing.endpoint.id}?done=enabled", 303)

    async def rotate(self, request: Request, person: Person) -> Response:
        """Sign with a new secret, which is shown in the answer to this and nowhere else."""
        doing, given = await self._pages.find(request, person), await read_form(request, ("reason", "keep"))
        why = why_no_reason(given)
        if why is None and given.get("keep") not in KEEP_HOURS:
            why = "Choose for how long the old secret signs too."
        if why is not None:
            return await self._again(request, person, doing, why, given, "rotate")
        secret, keep = new_secret(), timedelta(hours=int(given["keep"]))

        def rotate() -> object:
            rotation = Rotation(doing.endpoint.id, self._reach.webhooks.box().seal(secret), keep)
            return secrets.rotate(self._console.store, person.acting(given["reason"].strip()), rotation)

        until = await self._console.ask(rotate)
        if until is None:  # removed meanwhile
            raise NotFound("There is no such endpoint")
        return await self._console.draw(
            request,
            person,
            "endpoint-secret.html",
            endpoint_id=doing.endpoint.id,
            secret=secret,
            is_new=False,
            until=until if keep else None,
        )

    async def test(self, request: Request, person: Person) -> Response:
        """Send an `invoices.test` event, once, and show what came back."""
        doing = await self._pages.find(request, person)
        await read_form(request, ("send",))
        try:
            trial = await self._console.ask(self._trial, doing)
        except SecretUnreadable:
            return await self._again(request, person, doing, UNREADABLE, {}, "test", 409)
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                attempt = await send_trial(self._reach.webhooks.guard, trial)
        except TimeoutError:
            return await self._again(request, person, doing, "No answer in 40 s.", {}, "test", 504)
        shown = {"attempt": attempt, "answer": answer_text(attempt.answer)}
        return await self._pages.draw(request, person, doing, trial=shown)

    async def remove(self, request: Request, person: Person) -> Response:
        """Remove it with all that was meant for it."""
        doing, given = await self._pages.find(request, person), await read_form(request, ("reason", "sure"))
        why = why_no_reason(given)
        if why is None and given.get("sure") != "yes":
            why = "Tick that its events may be lost."
        if why is not None:
            return await self._again(request, person, doing, why, given, "remove")
        actor = person.acting(given["reason"].strip())
        try:
            await self._console.ask(endpoints.remove, self._console.store, actor, doing.endpoint.id)
        except StillRunning:  # it has had many events: it goes on
            return RedirectResponse(f"{PLACE}?done=removing", 303)
        return RedirectResponse(f"{PLACE}?done=removed", 303)

    def _trial(self, doing: Doing) -> Outgoing:
        """Raises SecretUnreadable."""
        endpoint, box = doing.endpoint, self._reach.webhooks.box()
        opened = tuple(box.open(sealed) for sealed in endpoint.signing(doing.tries.now))
        headers = box.open_headers(endpoint.sealed_headers, endpoint.clear_headers)
        return trial_of(endpoint.id, endpoint.url, opened, headers, doing.tries.now)

    async def _again(
        self,
        request: Request,
        person: Person,
        doing: Doing,
        why: str,
        given: dict[str, str],
        form: str,
        status: int = 422,
    ) -> Response:
        return await self._pages.draw(request, person, doing, status, problem=why, given=given, opened=form)
