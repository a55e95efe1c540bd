"""`/control/callbacks`: where they go, what was sent and answered, and one on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from workers.embedded.sandbox.callbacks import Courier
from workers.embedded.sandbox.control import answering, read_limit
from workers.embedded.sandbox.invoices import Invoices
from workers.embedded.sandbox.markers import read_markers
from workers.embedded.sandbox.quirks import read_quirks
from workers.embedded.sandbox.wire import InputError, read_object, refuse_unknown, take_text

COUNTS = ("sent", "answered", "given_up", "lost", "forged", "forged_refused", "forged_answered")


class CallbackControl:
    """The control address's part that is about callbacks."""

    def __init__(self, courier: Courier, invoices: Invoices) -> None:
        self._courier = courier
        self._invoices = invoices

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
        refuse_unknown(query, "order_id", "limit")
        limit = read_limit(query.get("limit", "1000"))
        kept = self._courier.kept
        found = [one for one in kept if query.get("order_id", one.order_id) == one.order_id]
        shown = [one.view() for one in (found[-limit:] if limit else found)]
        return {**self._state(), "count": len(found), "callbacks": shown}

    async def _point(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "url")
        self._courier.point_at(None if fields.get("url") is None else check_url(take_text(fields, "url")))
        return self._state()

    async def _clear(self, request: web.Request) -> object:
        self._courier.kept.clear()
        self._courier.counts.clear()
        return self._state()

    async def _send(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "order_id", "ref", "word", "quirks")
        if self._courier.url is None:
            raise InputError("url: no callback address is set", 409)
        word = take_text(fields, "word") if fields.get("word") is not None else None
        quirks = take_text(fields, "quirks") if fields.get("quirks") is not None else None
        asked = {} if quirks is None else read_quirks(read_markers(f"~callback:{quirks}~"), 1)
        name = "ref" if "ref" in fields else "order_id"
        find = self._invoices.find if name == "ref" else self._invoices.find_order
        invoice = find(take_text(fields, name), time.time())
        if invoice is None:
            raise InputError(f"{name}: no such invoice", 404)
        return {"callbacks": [one.view() for one in self._courier.send(invoice, word, asked)]}

    def _state(self) -> Mapping[str, Any]:
        counts = self._courier.counts
        return {
            "url": self._courier.url,
            "waiting": self._courier.waiting(),
            **{name: counts[name] for name in COUNTS},
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
