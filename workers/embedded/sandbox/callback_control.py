"""`/control/callbacks`: where callbacks go, what was sent and answered, and one more on request."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import web

from workers.embedded.sandbox.callbacks import Callback, Courier
from workers.embedded.sandbox.control import answering, find_named, read_limit
from workers.embedded.sandbox.markers import read_markers
from workers.embedded.sandbox.quirks import read_quirks
from workers.embedded.sandbox.stand_in import StandIn
from workers.embedded.sandbox.wire import InputError, read_object, refuse_unknown, take_choice, take_text

COUNTS = ("sent", "answered", "given_up", "lost", "forged", "forged_refused", "forged_answered")


class CallbackControl:
    """The part of the control address about callbacks."""

    def __init__(self, stand_ins: Mapping[str, StandIn]) -> None:
        self._couriers = {name: each.courier for name, each in stand_ins.items() if each.courier is not None}
        self._invoices = {name: stand_ins[name].invoices for name in self._couriers}

    def set_url(self, given: str) -> None:
        """Post to this URL (``PROVIDER=URL``, or alone) as soon as the application runs. Raises InputError."""
        name, _, url = given.partition("=")
        named = name.isidentifier()
        self._courier_of({"provider": name} if named else {}).url = check_url(url if named else given)

    def routes(self, prefix: str) -> list[web.RouteDef]:
        """What is served under the prefix."""
        return [
            web.get(f"{prefix}/callbacks", answering(self._list)),
            web.post(f"{prefix}/callbacks", answering(self._point)),
            web.delete(f"{prefix}/callbacks", answering(self._clear)),
            web.post(f"{prefix}/callbacks/send", answering(self._send)),
        ]

    async def _list(self, request: web.Request) -> object:
        query = request.query
        refuse_unknown(query, "provider", "order_id", "limit")
        limit = read_limit(query.get("limit", "1000"))
        couriers = {self._name_of(query): self._courier_of(query)} if "provider" in query else self._couriers
        kept = heapq.merge(*(courier.kept for courier in couriers.values()), key=_written_at)
        found = [one for one in kept if query.get("order_id", one.order_id) == one.order_id]
        shown = [one.view() for one in (found[-limit:] if limit else found)]
        return {**_state(couriers), "count": len(found), "callbacks": shown}

    async def _point(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "url")
        courier = self._courier_of(fields)
        courier.point_at(None if fields.get("url") is None else check_url(take_text(fields, "url")))
        return _state({self._name_of(fields): courier})

    async def _clear(self, request: web.Request) -> object:
        for courier in self._couriers.values():
            courier.kept.clear()
            courier.counts.clear()
        return _state(self._couriers)

    async def _send(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "order_id", "ref", "word", "quirks")
        provider = self._name_of(fields)
        courier = self._couriers[provider]
        if courier.url is None:
            raise InputError("url: no callback address is set", 409)
        word = take_text(fields, "word") if fields.get("word") is not None else None
        quirks = take_text(fields, "quirks") if fields.get("quirks") is not None else None
        asked = {} if quirks is None else read_quirks(read_markers(f"~callback:{quirks}~"), 1)
        invoice = find_named(self._invoices[provider], fields, provider)
        return {"callbacks": [one.view() for one in courier.send(invoice, word, asked)]}

    def _courier_of(self, fields: Mapping[str, object]) -> Courier:
        return self._couriers[self._name_of(fields)]

    def _name_of(self, fields: Mapping[str, object]) -> str:
        """The provider's name, which may be left out where only one calls back. Raises InputError."""
        names = tuple(self._couriers)
        return names[0] if len(names) == 1 and "provider" not in fields else take_choice(fields, "provider", names)


def _written_at(callback: Callback) -> float:
    return callback.at


def _state(couriers: Mapping[str, Courier]) -> Mapping[str, object]:
    """Where callbacks go, by provider (``url`` too, where there is only one), and how many there were."""
    urls = {name: courier.url for name, courier in couriers.items()}
    return {
        "url": next(iter(urls.values())) if len(urls) == 1 else None,
        "urls": urls,
        "waiting": sum(courier.waiting() for courier in couriers.values()),
        **{name: sum(courier.counts[name] for courier in couriers.values()) for name in COUNTS},
    }


def check_url(url: str) -> str:
    """An http or https address. Raises InputError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError("url: must be an http:// or https:// address")
    return url
