"""``/console/rejected``: messages that were rejected, why, and sending them again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.masking import mask
from domain.permissions import Action
from workers.store.acts import Actor
from workers.store.operate.redrive import INTAKE_TASKS, SentAgain, send_again
from workers.store.reads.settling import account_in, find_rejected_message, page_of_rejected
from workers.store.rows import StoredRow
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.numbers import number_of
from workers.web.console.person import Person
from workers.web.console.reach import BrokerAway, Reach
from workers.web.console.reasons import why_no_reason
from workers.web.console.refusals import NotFound

PLACE = "/console/rejected"
PAGE = 50
#: It is drawn anew after this time even if nothing was added: a message may have been sent again.
LIVE_SECONDS = 10.0
AWAY = "The broker can't be reached: nothing is lost, what was not sent waits here. `invoices doctor` says more."


class Rejected:
    """The list, and one message."""

    def __init__(self, console: Console, reach: Reach) -> None:
        self._console = console
        self._reach = reach
        self._secrets = tuple(key for account in console.accounts.values() for key in account.known_keys())

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            self._console.route(PLACE, self.list, live_seconds=LIVE_SECONDS),
            self._console.route(f"{PLACE}/send-again", self.send_again, Action.REDRIVE, ("POST",)),
            self._console.route(f"{PLACE}/{{id}}", self.show),
        ]

    async def list(self, request: Request, person: Person) -> Response:
        """A page of them, newest first."""
        return await self._draw(request, person, read_filter(request, ("before", "all", "sent", "left")))

    async def show(self, request: Request, person: Person) -> Response:
        """One of them, as it came."""
        number = number_of(request.path_params["id"])
        find, database = partial(find_rejected_message, accounts=person.accounts), self._console.store.database
        row = None if number is None else await self._console.ask(database.read, find, number)
        if row is None:
            raise NotFound("There is no such message")
        return await self._console.draw(
            request, person, "rejected-message.html", row=row, text=mask(row.excerpt, self._secrets), why=_why(row)
        )

    async def send_again(self, request: Request, person: Person) -> Response:
        """One of them, or all of a page. While the broker is away they wait where they are."""
        given = await read_form(request, ("only", "ids", "reason", "before", "all"))
        texts = [given["only"]] if given.get("only") else given.get("ids", "").split()[:PAGE]
        ids = [number for number in map(number_of, texts) if number is not None]
        why = why_no_reason(given) or (None if ids else "Choose at least one message.")
        if why is not None:
            return await self._draw(request, person, given, why)
        actor = person.acting(given["reason"].strip())
        seen = await self._seen(person, ids)
        try:
            done = await self._console.ask(self._send, actor, seen)
        except BrokerAway:
            return await self._draw(request, person, given, AWAY, 503)
        sent = sum(one.sent for one in done)
        return RedirectResponse(f"{PLACE}?sent={sent}&left={len(done) - sent}", 303)

    async def _seen(self, person: Person, ids: Sequence[int]) -> Sequence[int]:
        """Raises NotFound where the person does not see one of them."""
        find, read = partial(find_rejected_message, accounts=person.accounts), self._console.store.database.read
        for number in ids:
            if await self._console.ask(read, find, number) is None:
                raise NotFound("There is no such message")
        return sorted(ids)

    def _send(self, actor: Actor, ids: Sequence[int]) -> Sequence[SentAgain]:
        with self._reach.open_broker() as send:
            return list(send_again(self._console.store, actor, ids, send))

    async def _draw(
        self,
        request: Request,
        person: Person,
        given: dict[str, str],
        problem: str | None = None,
        status: int = 422,
    ) -> Response:
        all_too = given.get("all") == "1"
        before = None if "before" not in given else number_of(given["before"])
        find = partial(page_of_rejected, accounts=person.accounts, before=before, limit=PAGE, sent_too=all_too)
        rows, following = await self._console.ask(self._console.store.database.read, find)
        content = {
            "rows": [(row, account_in(row.excerpt), mask(row.excerpt[:400], self._secrets), _why(row)) for row in rows],
            "waiting": [row.id for row in rows if row.redriven_at is None and _why(row) is None],
            "older": None if following is None else f"{PLACE}?before={following}{'&all=1' if all_too else ''}",
            "all_too": all_too,
            "given": given,
            "problem": problem,
            "sent": number_of(given.get("sent", "")),
            "left": number_of(given.get("left", "")),
        }
        return await self._console.draw(request, person, "rejected.html", status if problem else 200, **content)


def _why(row: StoredRow) -> str | None:
    """Why it can't be sent again; None: it can."""
    if not row.complete:
        return "Only its beginning was kept: send the order again from where it came."
    if row.task not in INTAKE_TASKS:
        return "It names no task of ours."
    return None
