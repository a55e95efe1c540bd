"""The control address: pay, underpay, overpay, expire; faults, lifetimes; invoices made and calls seen."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from workers.embedded.sandbox.desk import Call, Calls
from workers.embedded.sandbox.faults import find_fault
from workers.embedded.sandbox.invoices import Invoice, Invoices
from workers.embedded.sandbox.quirks import find_quirk
from workers.embedded.sandbox.script import Script
from workers.embedded.sandbox.stand_in import StandIn
from workers.embedded.sandbox.state import StateFile
from workers.embedded.sandbox.wire import (
    Digits,
    InputError,
    is_number,
    read_object,
    refuse_unknown,
    take_choice,
    take_flag,
    take_number,
    take_text,
    take_whole,
    write_json,
)

MAX_LIFETIME_SECONDS = 365 * 86400
MAX_RULES = 1_000


class Control:
    """Everything under `/control`."""

    def __init__(
        self, stand_ins: Mapping[str, StandIn], script: Script, calls: Calls, state: StateFile | None = None
    ) -> None:
        self._stand_ins = stand_ins
        self._providers = tuple(stand_ins)
        self._invoices = {name: each.invoices for name, each in stand_ins.items()}
        self._lifetimes = {name: each.lifetime for name, each in stand_ins.items()}
        self._script = script
        self._calls = calls
        self._state = state

    def routes(self, prefix: str) -> list[web.RouteDef]:
        return [
            web.post(f"{prefix}/pay", answering(self._pay)),
            web.post(f"{prefix}/underpay", answering(self._underpay)),
            web.post(f"{prefix}/overpay", answering(self._overpay)),
            web.post(f"{prefix}/expire", answering(self._expire)),
            web.post(f"{prefix}/status", answering(self._force_status)),
            web.post(f"{prefix}/lifetime", answering(self._set_lifetime)),
            web.get(f"{prefix}/invoices", answering(self._list_invoices)),
            web.get(f"{prefix}/calls", answering(self._list_calls)),
            web.delete(f"{prefix}/calls", answering(self._clear_calls)),
            web.post(f"{prefix}/faults", answering(self._add_fault)),
            web.get(f"{prefix}/faults", answering(self._list_faults)),
            web.delete(f"{prefix}/faults", answering(self._clear_faults)),
        ]

    async def _pay(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "ref", "order_id", "confirming")
        step = "confirm" if take_flag(fields, "confirming") else "pay"
        return self._apply(self._find(fields), step)

    async def _underpay(self, request: web.Request) -> object:
        return await self._pay_amount(request, "underpay")

    async def _overpay(self, request: web.Request) -> object:
        return await self._pay_amount(request, "overpay")

    async def _pay_amount(self, request: web.Request, step: str) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "ref", "order_id", "paid_amount")
        amount = fields.get("paid_amount")
        if amount is not None and (isinstance(amount, bool) or not is_number(str(amount)) or str(amount)[0] == "-"):
            raise InputError("paid_amount: must be a number, not negative")
        invoice = self._find(fields)
        paid_amount = None if amount is None else str(amount)
        self._invoices[invoice.provider].apply(invoice, step, time.time(), paid_amount)
        return invoice.view()

    async def _expire(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "ref", "order_id")
        return self._apply(self._find(fields), "expire")

    async def _force_status(self, request: web.Request) -> object:
        """Any status word until the next step, also an undocumented one."""
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "ref", "order_id", "word", "tx_hash")
        word = take_text(fields, "word")
        tx_hash = fields.get("tx_hash")
        if tx_hash is not None and (isinstance(tx_hash, Digits) or not isinstance(tx_hash, str)):
            raise InputError("tx_hash: must be a text or null")
        invoice = self._find(fields)
        if "tx_hash" in fields:
            invoice.tx_hash = tx_hash
        self._invoices[invoice.provider].force(invoice, word, time.time())
        return invoice.view()

    async def _set_lifetime(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "seconds")
        seconds = take_whole(fields, "seconds", 1, MAX_LIFETIME_SECONDS)
        for provider in self._read_providers(fields.get("provider")):
            self._lifetimes[provider].seconds = seconds
            if self._state is not None:
                self._state.keep_lifetime(provider, seconds)
        return {provider: lifetime.seconds for provider, lifetime in self._lifetimes.items()}

    async def _list_invoices(self, request: web.Request) -> object:
        query = request.query
        refuse_unknown(query, "provider", "order_id", "limit")
        limit = read_limit(query.get("limit", "1000"))
        now = time.time()
        found = [
            invoice
            for provider in self._read_providers(query.get("provider"))
            for invoice in self._invoices[provider].newest(0, len(self._invoices[provider]), now)
            if query.get("order_id", invoice.order_id) == invoice.order_id
        ]
        found.sort(key=lambda invoice: invoice.created_at, reverse=True)
        created = {provider: self._count_made(provider, query.get("order_id")) for provider in self._providers}
        return {"count": len(found), "created": created, "invoices": [each.view() for each in found[: limit or None]]}

    def _count_made(self, provider: str, order_id: str | None) -> dict[str, int]:
        made = self._invoices[provider].made
        return dict(made) if order_id is None else {order_id: made[order_id]}

    async def _list_calls(self, request: web.Request) -> object:
        query = request.query
        refuse_unknown(query, "provider", "operation", "order_id", "limit")
        limit = read_limit(query.get("limit", "0"))
        self._read_providers(query.get("provider"))
        wanted = {name: query[name] for name in ("provider", "operation", "order_id") if name in query}
        found = [call for call in self._calls.seen if _matches(call, wanted)]
        return {
            "total": self._calls.total,
            "count": len(found),
            "calls": [call.view() for call in (found[-limit:] if limit else found)],
        }

    async def _clear_calls(self, request: web.Request) -> object:
        self._calls.clear()
        return {"total": 0}

    async def _add_fault(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "provider", "operation", "fault", "argument", "times", "probability", "match")
        if len(self._script.rules) >= MAX_RULES:
            raise InputError(f"fault: there are {MAX_RULES} already; DELETE /control/faults forgets them")
        provider = take_choice(fields, "provider", self._providers)
        name = take_text(fields, "fault")
        operation = take_choice(
            {"operation": "create", **fields}, "operation", self._stand_ins[provider].operation_names()
        )
        fault = find_quirk(name) if operation == "callback" else find_fault(name)
        argument = take_number(fields, "argument", fault.low, fault.high, fault.default)
        rule = self._script.add(
            provider=provider,
            operation=operation,
            name=name,
            argument=argument,
            times=None if fields.get("times") is None else take_whole(fields, "times", 1, 10**9),
            probability=take_number(fields, "probability", 0, 1, 1),
            match=None if fields.get("match") is None else take_text(fields, "match"),
        )
        return rule.view()

    async def _list_faults(self, request: web.Request) -> object:
        return {"faults": [rule.view() for rule in self._script.rules]}

    async def _clear_faults(self, request: web.Request) -> object:
        self._script.clear()
        return {"faults": []}

    def _read_providers(self, provider: object) -> tuple[str, ...]:
        """The named provider, or all of them. Raises InputError."""
        if provider is None:
            return self._providers
        return (take_choice({"provider": provider}, "provider", self._providers),)

    def _find(self, fields: Mapping[str, object]) -> Invoice:
        provider = take_choice(fields, "provider", self._providers)
        return find_named(self._invoices[provider], fields, provider)

    def _apply(self, invoice: Invoice, step: str) -> dict[str, object]:
        self._invoices[invoice.provider].apply(invoice, step, time.time())
        return invoice.view()


def find_named(invoices: Invoices, fields: Mapping[str, object], provider: str) -> Invoice:
    """The invoice named by `ref`, or the newest of `order_id`. Raises InputError, with 404 when there is none."""
    name = "ref" if "ref" in fields else "order_id"
    find = invoices.find if name == "ref" else invoices.find_order
    invoice = find(take_text(fields, name), time.time())
    if invoice is None:
        raise InputError(f"{name}: no such invoice at {provider}", 404)
    return invoice


def answering(
    handle: Callable[[web.Request], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that writes its result as JSON, and InputError as `{"error": …}` with its status."""

    async def respond(request: web.Request) -> web.StreamResponse:
        try:
            payload, status = await handle(request), 200
        except InputError as problem:
            payload, status = {"error": str(problem)}, problem.status
        return web.Response(status=status, text=write_json(payload), content_type="application/json")

    return respond


def read_limit(text: str) -> int:
    """How many to show; 0: all. Raises InputError."""
    if not text.isdecimal() or len(text) > 9:
        raise InputError("limit: must be a whole number, 0 for all")
    return int(text)


def _matches(call: Call, wanted: Mapping[str, str]) -> bool:
    return all(getattr(call, name) == value for name, value in wanted.items())
