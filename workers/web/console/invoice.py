"""``/console/invoices/{id}``: one invoice, what happened to it, why it is not further, and what may be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.requests import LONGEST_REASON, MarkRequest, RequestError, parse_request
from domain.status import Status
from workers.store.operate.invoices import Done, Mark, Moved, cancel, create_again, mark, recheck
from workers.store.operate.replay import NoSuchEndpoint, NoSuchEvent, TooManyEvents, replay_of_invoice
from workers.store.reads.original_words import read_raw
from workers.web.api.invoice_reads import is_id
from workers.web.console.console import Console, read_filter, read_form
from workers.web.console.invoice_page import InvoicePage, endpoint_ids, read_page
from workers.web.console.line import TABS, Tab
from workers.web.console.person import Person
from workers.web.console.pieces import COMMA, Piece, Pieces, foreign, words
from workers.web.console.refusals import NotFound, Refused

PATH = "/console/invoices/{id}"
#: What was done, by the word in the page's address.
DONE: Mapping[str, str] = {
    "rechecked": "The provider is being asked now.",
    "marked": "The invoice is marked.",
    "confirmed": "Nothing changed; what was said against it is settled.",
    "cancelled": "The invoice is cancelled.",
    "created-again": "It is being created again.",
    "replayed": "Its events are sent once more.",
}
BY_HAND = {"cancel": "cancelled by hand", "recheck": "asked for by hand"}
FIELDS = {"amount": "The amount", "reason": "The reason", "status": "The status"}
MOST_FINDINGS = 3
LIVE_SECONDS = 15.0
LONGEST_SEQUENCE = 18


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a form was not carried out. Its page shows the form again, filled in as it came."""

    act: str
    status: int
    text: Pieces
    fields: Mapping[str, str] = field(default_factory=dict)


#: What carries an act out: the store's function for it, given the invoice's id and the sequences it may have.
Do = Callable[..., Done | None]


class Invoice:
    """The page, and what its forms do."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        route = self._console.route
        return [
            route(PATH, self.show, live_seconds=LIVE_SECONDS),
            route(f"{PATH}/raw/{{kind}}/{{number}}", self.raw),
            route(f"{PATH}/recheck", self.recheck, Action.RECHECK, ("POST",)),
            route(f"{PATH}/mark", self.mark, Action.MARK, ("POST",)),
            route(f"{PATH}/cancel", self.cancel, Action.CANCEL, ("POST",)),
            route(f"{PATH}/create-again", self.create_again, Action.REDRIVE, ("POST",)),
            route(f"{PATH}/replay", self.replay, Action.REPLAY, ("POST",)),
        ]

    async def show(self, request: Request, person: Person) -> Response:
        """The page."""
        given = read_filter(request, ("show", "before", "done"))
        tab = _tab(given.get("show"))
        page = await self._page(request, person, tab, _before(given.get("before")))
        return await self._draw(request, person, page, done=DONE.get(given.get("done", "")))

    async def raw(self, request: Request, person: Person) -> Response:
        """Somebody's own words, as text."""
        read_filter(request, ())
        page = await self._page(request, person)
        kind, number = request.path_params["kind"], request.path_params["number"]
        if not number.isascii() or not number.isdecimal() or len(number) > LONGEST_SEQUENCE:
            raise NotFound
        database = self._console.store.database
        found = await self._console.ask(read_raw, database, page.invoice, kind, int(number), person.accounts)
        if found is None:
            raise NotFound("These words are not kept")
        return await self._console.draw(request, person, "invoice_raw.html", invoice=page.invoice, kind=kind, raw=found)

    # ------------------------------------------------------------ what the forms do

    async def recheck(self, request: Request, person: Person) -> Response:
        """Have the provider asked now."""
        return await self._simple(request, person, "recheck", recheck, "rechecked")

    async def cancel(self, request: Request, person: Person) -> Response:
        """Give the order up. One that is cancelled already stays so, and that is well."""
        return await self._simple(request, person, "cancel", cancel, "cancelled", Status.CANCELLED)

    async def create_again(self, request: Request, person: Person) -> Response:
        """Have what is in doubt created again."""
        return await self._simple(request, person, "create-again", create_again, "created-again")

    async def mark(self, request: Request, person: Person) -> Response:
        """Say what became of it."""
        page = await self._page(request, person)
        form = await read_form(request, ("reason", "sequence", "status", "amount"))
        given = {name: form[name].strip() for name in ("status", "reason", "amount") if name in form}
        try:
            asked = parse_request(MarkRequest, {name: text for name, text in given.items() if text or name != "amount"})
        except RequestError as error:
            return await self._refuse(request, person, Problem("mark", 422, _findings(error), form))
        said = Mark(Status(asked.status), asked.amount)
        act = partial(mark, self._console.store, person.acting(asked.reason), request=said)
        done = await self._do(request, person, page, act, "mark", form)
        if isinstance(done, Done):
            return _back(page.invoice.id, "confirmed" if done.status == done.status_before else "marked")
        return done

    async def replay(self, request: Request, person: Person) -> Response:
        """Send its events once more."""
        page = await self._page(request, person)
        form = await read_form(request, ("reason", "sequence", "endpoint", "which"))
        endpoint_id, which = form.get("endpoint", ""), form.get("which", "newest")
        if endpoint_id not in endpoint_ids(page) or which not in {"newest", "all"}:
            text = words("Choose one of the endpoints, and the newest event or all of them")
            return await self._refuse(request, person, Problem("replay", 422, [text], form))
        if (long := _too_long(form)) is not None:
            return await self._refuse(request, person, Problem("replay", 422, [long], form))
        actor = person.acting(form.get("reason") or None)
        send = partial(replay_of_invoice, only_newest=which == "newest")
        try:
            await self._console.ask(send, self._console.store, actor, page.invoice.id, endpoint_id)
        except (NoSuchEndpoint, NoSuchEvent, TooManyEvents):
            text = words("There is nothing that could be sent to this endpoint")
            return await self._refuse(request, person, Problem("replay", 409, [text], form))
        return _back(page.invoice.id, "replayed")

    async def _simple(
        self, request: Request, person: Person, name: str, do: Do, said: str, wanted: Status | None = None
    ) -> Response:
        """An act that takes a reason and nothing else."""
        page = await self._page(request, person)
        form = await read_form(request, ("reason", "sequence"))
        if (long := _too_long(form)) is not None:
            return await self._refuse(request, person, Problem(name, 422, [long], form))
        reason = form.get("reason", "").strip() or BY_HAND.get(name)
        act = partial(do, self._console.store, person.acting(reason))
        done = await self._do(request, person, page, act, name, form, wanted)
        return _back(page.invoice.id, said) if isinstance(done, Done) else done

    async def _do(
        self,
        request: Request,
        person: Person,
        page: InvoicePage,
        act: Do,
        name: str,
        form: Mapping[str, str],
        wanted: Status | None = None,
    ) -> Done | Response:
        """What was done, or the page that says why nothing was."""
        expected = _expected(form)
        try:
            done = await self._console.ask(partial(act, invoice_id=page.invoice.id, expected=expected))
        except Moved:
            moved = await self._moved(request, person, form)
            return await self._refuse(request, person, Problem(name, 409, moved, form))
        if done is None:
            raise NotFound("There is no such invoice")
        if done.done or (wanted is not None and done.status == wanted):
            return done
        why = foreign(done.why or f"it is {done.status}")
        return await self._refuse(request, person, Problem(name, 409, [words("Nothing was done:"), why], form))

    async def _moved(self, request: Request, person: Person, form: Mapping[str, str]) -> Pieces:
        """What has changed since the form was drawn."""
        page = await self._page(request, person)
        seen = int(form["sequence"])
        since = [event for event in page.record.events if event.sequence > seen][:5]
        text = [words("Nothing was done: the invoice has changed since this page was opened. It is"),
                words(str(page.invoice.status).replace("_", " "))]  # fmt: skip
        if since:
            text += [words("by"), *(foreign(event.type) for event in since)]
        return [*text, words("Look at it, and send the form again if you still want it")]

    # ------------------------------------------------------------ the page itself

    async def _page(
        self, request: Request, person: Person, tab: Tab | None = None, before: datetime | None = None
    ) -> InvoicePage:
        invoice_id = request.path_params["id"]
        console = self._console
        page = (
            await console.ask(read_page, console.store, console.around, person, invoice_id, tab, before)
            if is_id(invoice_id)
            else None
        )
        if page is None:
            raise NotFound("There is no such invoice")
        return page

    async def _refuse(self, request: Request, person: Person, problem: Problem) -> Response:
        page = await self._page(request, person)
        return await self._draw(request, person, page, problem=problem)

    async def _draw(
        self,
        request: Request,
        person: Person,
        page: InvoicePage,
        done: str | None = None,
        problem: Problem | None = None,
    ) -> Response:
        status = 200 if problem is None else problem.status
        content = {"page": page, "done": done, "problem": problem, "longest_reason": LONGEST_REASON}
        return await self._console.draw(request, person, "invoice.html", status, **content)


def _findings(error: RequestError) -> Pieces:
    """What is wrong with which field, in words."""
    pieces: list[Piece] = []
    for finding in error.findings[:MOST_FINDINGS]:
        name, _, message = finding.line.partition(": ")
        pieces += [*([COMMA] if pieces else []), words(FIELDS.get(name, name)), words(message)]
    return pieces


def _back(invoice_id: str, done: str) -> Response:
    return RedirectResponse(f"/console/invoices/{invoice_id}?done={done}", 303)


def _tab(name: str | None) -> Tab | None:
    if name is None or name == "all":
        return None
    for tab in TABS:
        if tab == name:
            return tab
    raise Refused(400, "The request can't be used", f"show: must be all or one of {', '.join(TABS)}")


def _before(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError):
        wrong = "before: must be a time, as the link to older lines has it"
        raise Refused(400, "The request can't be used", wrong) from None


def _expected(form: Mapping[str, str]) -> frozenset[int] | None:
    """The sequence that the form was drawn with. Raises Refused 400."""
    text = form.get("sequence")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > LONGEST_SEQUENCE:
        raise Refused(400, "The form can't be used", "sequence: must be the number that the page's form has")
    return frozenset({int(text)})


def _too_long(form: Mapping[str, str]) -> Piece | None:
    if len(form.get("reason", "")) <= LONGEST_REASON:
        return None
    return words("The reason is too long")
