"""``/console/endpoints/add``: a receiver of webhooks is added; its secret is shown in the answer and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.requests import EndpointRequest, RequestError, parse_request
from workers.delivery.signature import new_secret
from workers.store.database import UNAVAILABLE
from workers.store.endpoints import EVENT_TYPES, MAX_IN_FLIGHT
from workers.store.operate import endpoints
from workers.web.api.endpoints import ADDRESS_SECONDS, sealed_endpoint, why_unusable
from workers.web.console.console import Console, read_form
from workers.web.console.endpoints import PLACE
from workers.web.console.person import Person
from workers.web.console.reach import Reach
from workers.web.console.reasons import why_no_reason
from workers.web.threads import Overloaded

log = structlog.get_logger()

TYPE, ACCOUNT = "type:", "account:"
HEADERS = ("header:1", "header:2", "header:3")
#: What every endpoint gets is nothing to choose.
TYPES = tuple(sorted(EVENT_TYPES - {"system.restored"}))


class EndpointAdding:
    """The form, and what comes of it."""

    def __init__(self, console: Console, reach: Reach) -> None:
        self._console = console
        self._reach = reach

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it: before the pages of endpoints, whose addresses it would be one of."""
        return [
            self._console.route(f"{PLACE}/add", self.show, Action.ENDPOINTS),
            self._console.route(f"{PLACE}/add", self.add, Action.ENDPOINTS, ("POST",)),
        ]

    async def show(self, request: Request, person: Person) -> Response:
        """The empty form."""
        return await self._draw(request, person, {"max_in_flight": str(MAX_IN_FLIGHT)})

    async def add(self, request: Request, person: Person) -> Response:
        """Add it, or show the form again with why it can't be."""
        chosen = [f"{TYPE}{one}" for one in TYPES] + [f"{ACCOUNT}{one}" for one in self._accounts(person)]
        given = await read_form(request, {"url", "max_in_flight", "reason", *HEADERS, *chosen})
        try:
            body = _read(given, person)
        except RequestError as error:
            return await self._draw(request, person, given, error.findings[0].line)
        why = why_no_reason(given) or await why_unusable(self._reach.webhooks.guard, body)
        if why is not None:
            return await self._draw(request, person, given, why)
        return await self._add(request, person, body)

    async def _add(self, request: Request, person: Person, body: EndpointRequest) -> Response:
        secret, store = new_secret(), self._console.store

        def add() -> str:
            new = sealed_endpoint(self._reach.webhooks.box(), body, body.accounts or (), secret)
            return endpoints.add(store, person.acting(body.reason), new)

        endpoint_id = await self._console.ask(add)
        is_known = await self._wait_until_known(endpoint_id)
        content = {"endpoint_id": endpoint_id, "secret": secret, "is_new": True, "is_known": is_known, "until": None}
        return await self._console.draw(request, person, "endpoint-secret.html", 201, **content)

    async def _wait_until_known(self, endpoint_id: str) -> bool:
        """Whatever is in the way must not keep the secret back."""
        try:
            wait = self._console.threads.run(endpoints.wait_until_known, self._console.store, seconds=ADDRESS_SECONDS)
            is_known = await wait
        except (Overloaded, *UNAVAILABLE):
            is_known = False
        if not is_known:
            log.warning("endpoint.not_known_yet", endpoint=endpoint_id)
        return is_known

    def _accounts(self, person: Person) -> list[str]:
        """Those that the person may limit it to."""
        return [one for one in sorted(self._console.accounts) if person.sees(one)]

    async def _draw(
        self, request: Request, person: Person, given: dict[str, str], problem: str | None = None
    ) -> Response:
        content = {"given": given, "problem": problem, "types": TYPES, "accounts": self._accounts(person)}
        content |= {"headers": HEADERS}
        return await self._console.draw(request, person, "endpoint-add.html", 422 if problem else 200, **content)


def _read(given: dict[str, str], person: Person) -> EndpointRequest:
    """Raises RequestError. Whoever sees some accounts only adds an endpoint for these, or fewer."""
    accounts = [name.removeprefix(ACCOUNT) for name in given if name.startswith(ACCOUNT)]
    accounts = accounts or sorted(person.accounts or ())
    types = [name.removeprefix(TYPE) for name in given if name.startswith(TYPE)]
    number = given.get("max_in_flight", "").strip()
    fields: dict[str, object] = {
        "url": given.get("url", "").strip(),
        "headers": _read_headers([given.get(name, "").strip() for name in HEADERS]),
        "max_in_flight": int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else number,
        "reason": given.get("reason", "").strip() or None,
    }
    fields |= {"events": types} if types else {}
    fields |= {"accounts": accounts} if accounts else {}
    return parse_request(EndpointRequest, fields)


def _read_headers(lines: Sequence[str]) -> dict[str, str]:
    """One without a colon is a name that no header may have, and is refused as such."""
    headers: dict[str, str] = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        headers[name.strip() if colon else line] = value.strip()
    return headers
