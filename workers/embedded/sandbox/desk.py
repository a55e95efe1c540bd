"""Every call to a stand-in comes through here: it is recorded, and answered well or badly, as the script says."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from workers.embedded.sandbox.faults import Turn
from workers.embedded.sandbox.invoices import Invoice, Invoices
from workers.embedded.sandbox.script import Script
from workers.embedded.sandbox.wire import Answer, InputError

#: How many calls are remembered; older ones are only counted.
MAX_CALLS = 200_000


@dataclass(slots=True)
class Call:
    """A call that was seen. `ended`: open, answered, client_left or broken_off; `ref`: the invoice it was about."""

    provider: str
    operation: str
    at: float
    order_id: str | None = None
    ref: str | None = None
    fault: str | None = None
    status: int | None = None
    ended: str = "open"

    def view(self) -> dict[str, object]:
        return {
            "provider": self.provider,
            "operation": self.operation,
            "order_id": self.order_id,
            "at": self.at,
            "status": self.status,
            "fault": self.fault,
            "ended": self.ended,
            "ref": self.ref,
        }


class Calls:
    """Every call seen, oldest first."""

    def __init__(self) -> None:
        self.seen: deque[Call] = deque(maxlen=MAX_CALLS)
        self.total = 0

    def open(self, provider: str, operation: str) -> Call:
        call = Call(provider, operation, time.time())
        self.seen.append(call)
        self.total += 1
        return call

    def clear(self) -> None:
        self.seen.clear()
        self.total = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a provider words failures, and the answer to a create."""

    failed: Callable[[int, str], Answer]
    credentials_refused: Callable[[], Answer]
    order_refused: Callable[[], Answer]
    created: Callable[[Invoice], Answer]


#: Reads a request's fields; raises InputError.
Read = Callable[[web.Request], Awaitable[Mapping[str, object]]]
#: The (order id, subject) in a request's fields, as far as they are there.
Identify = Callable[[Mapping[str, object]], tuple[str | None, str]]
#: Does what was asked, and answers; raises InputError.
Act = Callable[[web.Request, Mapping[str, object], Call], Answer]

#: Waits for what must happen before the answer about the invoice with this reference.
Settle = Callable[[str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented call of a provider."""

    name: str
    read: Read
    identify: Identify
    act: Act
    settle: Settle | None = None  #: awaited before a right answer is sent
    marked: str | None = None  #: its name in markers, where that is another one


class Desk:
    """One provider's front desk."""

    def __init__(self, provider: str, dialect: Dialect, invoices: Invoices, script: Script, calls: Calls) -> None:
        self.provider = provider
        self._dialect = dialect
        self._invoices = invoices
        self._script = script
        self._calls = calls

    def handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self.serve(request, operation)

        return handle

    async def serve(self, request: web.Request, operation: Operation) -> web.StreamResponse:
        """Answer one call, or break it off as the script says."""
        call = self._calls.open(self.provider, operation.name)
        try:
            response = await self._respond(request, operation, call)
        except InputError as problem:
            response = self._dialect.failed(problem.status, str(problem)).response()
        except asyncio.CancelledError:
            call.ended = "client_left"
            raise
        except ConnectionError:
            call.ended = "client_left"
            return web.Response()  # never sent: the connection is gone
        if response is None:
            call.ended = "broken_off"
            return web.Response()  # never sent either
        call.status, call.ended = response.status, "answered"
        if operation.name == "create" and call.fault is None and call.ref is not None:
            self._invoices.note_told(call.ref)
        return response

    async def _respond(self, request: web.Request, operation: Operation, call: Call) -> web.StreamResponse | None:
        fields = await operation.read(request)
        call.order_id, subject = operation.identify(fields)
        due = self._script.take(self.provider, operation.name, subject, operation.marked or operation.name)
        if due is None:
            answer = operation.act(request, fields, call)
            if operation.settle is not None:
                await operation.settle(call.ref)
            return answer.response()
        call.fault = due.name
        turn = Turn(
            request=request,
            argument=due.argument,
            act=lambda: operation.act(request, fields, call),
            earlier=lambda: self._earlier(call),
            failed=self._dialect.failed,
            credentials_refused=self._dialect.credentials_refused,
            order_refused=self._dialect.order_refused,
        )
        return await due.fault.play(turn)

    def _earlier(self, call: Call) -> Answer | None:
        """The oldest complete answer: a newer one may still be under way, and would look like this order's own."""
        told = self._invoices.first_told(call.order_id)
        if told is None:
            return None
        call.ref = told.ref
        return self._dialect.created(told)
