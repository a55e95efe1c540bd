"""``/v1/endpoints``: add, list, change, disable, enable and remove endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from domain.permissions import Action
from domain.requests import EndpointChange, EndpointRequest, Reason
from workers.delivery.secretbox import SecretBox
from workers.delivery.signature import new_secret
from workers.delivery.webhook import check_headers
from workers.http.address import AddressGuard, AddressRefused
from workers.store.database import UNAVAILABLE
from workers.store.endpoints import Endpoint, EndpointChanges, NewEndpoint
from workers.store.health import Health
from workers.store.operate import endpoints
from workers.store.reads.endpoints import endpoint_fields, endpoint_within, endpoints_within
from workers.web.api.access import Caller
from workers.web.api.api import Api, answer, read_query, read_request, unusable
from workers.web.api.schema.endpoints import (
    ADD_ENDPOINT,
    CHANGE_ENDPOINT,
    DISABLE_ENDPOINT,
    ENABLE_ENDPOINT,
    LIST_ENDPOINTS,
    REMOVE_ENDPOINT,
    SHOW_ENDPOINT,
)
from workers.web.api.schema.operation import route
from workers.web.problems import Problem
from workers.web.threads import Overloaded

log = structlog.get_logger()

ADDRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What adding and enabling an endpoint needs beside the store."""

    guard: AddressGuard
    box: Callable[[], SecretBox]
    reset_breaker: Callable[[str], None]  #: never raises


async def why_unusable(guard: AddressGuard, body: EndpointRequest | EndpointChange) -> str | None:
    """Why webhooks can't go to such an endpoint, as ``field: what is wrong``; None: they can."""
    try:
        check_headers(body.headers or {})
        if body.url:  # empty: a change that leaves it out
            async with asyncio.timeout(ADDRESS_SECONDS):
                await guard.resolve_and_check(body.url)
    except ValueError as error:
        return str(error)
    except AddressRefused as error:
        return f"url: {error}"
    except TimeoutError:
        return "url: its name could not be looked up in time"
    return None


def sealed_endpoint(box: SecretBox, body: EndpointRequest, accounts: Collection[str], secret: str) -> NewEndpoint:
    """As it is kept: its secret and its headers' values sealed."""
    sealed = box.seal(secret), body.events, box.seal_headers(body.headers)
    return NewEndpoint(body.url, *sealed, body.max_in_flight, accounts)


def sealed_changes(box: SecretBox, body: EndpointChange, accounts: Collection[str]) -> EndpointChanges:
    """As they are kept: only what the body names; headers' values sealed."""
    changes, named = EndpointChanges(), body.model_fields_set
    if "url" in named:
        changes["url"] = body.url
    if "events" in named:
        changes["events"] = body.events
    if "headers" in named:
        changes["sealed_headers"] = box.seal_headers(body.headers or {})
    if "max_in_flight" in named:
        changes["max_in_flight"] = body.max_in_flight
    if "accounts" in named:
        changes["accounts"] = accounts
    return changes


class Endpoints:
    """The endpoints that the caller sees."""

    def __init__(self, api: Api, webhooks: Webhooks, accounts: frozenset[str]) -> None:
        self._api = api
        self._webhooks = webhooks
        self._accounts = accounts  #: the configured ones

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            route(LIST_ENDPOINTS, self.list),
            route(ADD_ENDPOINT, self.add),
            route(SHOW_ENDPOINT, self.show),
            route(CHANGE_ENDPOINT, self.change),
            route(REMOVE_ENDPOINT, self.remove),
            route(ENABLE_ENDPOINT, self.enable),
            route(DISABLE_ENDPOINT, self.disable),
        ]

    async def list(self, request: Request) -> Response:
        """Those that the caller sees, oldest first."""
        caller = await self._api.access.require(request, Action.READ)
        read_query(request, ())
        found = await self._api.ask(endpoints_within, self._api.store.database, caller.accounts)
        return answer({"endpoints": [endpoint_fields(*one) for one in found]})

    async def show(self, request: Request) -> Response:
        """One of them."""
        caller = await self._api.access.require(request, Action.READ)
        read_query(request, ())
        return answer(endpoint_fields(*await self._find(caller, request)))

    async def add(self, request: Request) -> Response:
        """Add one. Only this answer has its secret."""
        caller = await self._api.access.require(request, Action.ENDPOINTS)
        body = await read_request(request, EndpointRequest)
        accounts = self._limit_to(caller, body)
        await self._check(body)
        secret = new_secret()
        found = await self._api.ask(self._add, caller, body, accounts, secret)
        await self._wait_until_known(found[0].id)
        headers = {"location": f"/v1/endpoints/{found[0].id}"}
        return answer(endpoint_fields(*found) | {"secret": secret}, 201, headers)

    async def change(self, request: Request) -> Response:
        """Change some of its settings."""
        caller = await self._api.access.require(request, Action.ENDPOINTS)
        body = await read_request(request, EndpointChange)
        endpoint, _ = await self._find(caller, request)
        accounts = self._limit_to(caller, body)
        await self._check(body)
        await self._api.ask(self._change, caller, endpoint.id, body, accounts)
        await self._wait_until_known(endpoint.id)
        return answer(endpoint_fields(*await self._find(caller, request)))

    async def remove(self, request: Request) -> Response:
        """Remove one with all its deliveries."""
        caller = await self._api.access.require(request, Action.ENDPOINTS)
        endpoint, _ = await self._find(caller, request)
        await self._api.ask(endpoints.remove, self._api.store, caller.acting(None), endpoint.id)
        return Response(status_code=204)

    async def enable(self, request: Request) -> Response:
        """Deliver again."""
        caller = await self._api.access.require(request, Action.ENDPOINTS)
        actor = caller.acting((await read_request(request, Reason)).reason)
        endpoint, _ = await self._find(caller, request)
        await self._api.ask(self._webhooks.reset_breaker, endpoint.id)
        await self._api.ask(endpoints.enable, self._api.store, actor, endpoint.id)
        return answer(endpoint_fields(*await self._find(caller, request)))

    async def disable(self, request: Request) -> Response:
        """Let its events wait."""
        caller = await self._api.access.require(request, Action.ENDPOINTS)
        reason = (await read_request(request, Reason)).reason
        endpoint, _ = await self._find(caller, request)
        await self._api.ask(endpoints.disable, self._api.store, caller.acting(reason), endpoint.id, reason)
        return answer(endpoint_fields(*await self._find(caller, request)))

    async def _find(self, caller: Caller, request: Request) -> tuple[Endpoint, Health]:
        database, endpoint_id = self._api.store.database, request.path_params["id"]
        found = await self._api.ask(endpoint_within, database, endpoint_id, caller.accounts)
        if found is None:
            raise Problem(404, "there is no such endpoint")
        return found

    def _limit_to(self, caller: Caller, body: EndpointRequest | EndpointChange) -> tuple[str, ...]:
        """The accounts that it is limited to; by default the caller's own. Raises Problem: 403, 422."""
        for account in body.accounts or ():
            caller.require_account(account)
            if account not in self._accounts:
                raise unusable(f"accounts: there is no account {account!r}")
        return body.accounts or tuple(sorted(caller.accounts or ()))

    async def _check(self, body: EndpointRequest | EndpointChange) -> None:
        why = await why_unusable(self._webhooks.guard, body)
        if why is not None:
            raise unusable(why)

    def _add(
        self, caller: Caller, body: EndpointRequest, accounts: tuple[str, ...], secret: str
    ) -> tuple[Endpoint, Health]:
        store, new = self._api.store, sealed_endpoint(self._webhooks.box(), body, accounts, secret)
        try:
            endpoint_id = endpoints.add(store, caller.acting(body.reason), new)
        except ValueError as error:
            raise unusable(str(error)) from None
        found = endpoint_within(store.database, endpoint_id, None)
        if found is None:
            raise Problem(404, "the endpoint was removed at once")
        return found

    def _change(self, caller: Caller, endpoint_id: str, body: EndpointChange, accounts: tuple[str, ...]) -> None:
        changes = sealed_changes(self._webhooks.box(), body, accounts)
        try:
            known = endpoints.change(self._api.store, caller.acting(body.reason), endpoint_id, changes)
        except ValueError as error:
            raise unusable(str(error)) from None
        if not known:
            raise Problem(404, "there is no such endpoint")

    async def _wait_until_known(self, endpoint_id: str) -> None:
        """Wait until every writer of events knows it as it is now. Fails silently: the client must get the secret."""
        try:
            known = self._api.threads.run(endpoints.wait_until_known, self._api.store, seconds=ADDRESS_SECONDS)
            is_known = await known
        except (Overloaded, *UNAVAILABLE):
            is_known = False
        if not is_known:
            log.warning("endpoint.not_known_yet", endpoint=endpoint_id)
