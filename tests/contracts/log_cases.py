"""What the tests of the log over HTTP share: events that have their positions, and a reader of streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from tests.contracts.store_cases import change, now
from workers.store.tables import AGENDA


def place(store, *, tell=True):
    """Every event gets its position; how many did. ``tell``: and the stream is told of it."""
    store.add_standing()
    change(store.database, AGENDA, AGENDA.c.stage == "publish", due_at=now(store.database))  # from whoever has it
    given = [
        number
        for held in store.publishing.claim_publisher(1, 60.0)
        for number in store.publishing.place_events(held, 10_000)
    ]
    if tell:
        store.publishing.mark_published([event.number for event in store.publishing.unpublished(10_000)])
    return len(given)


def read_stream(lines: Iterable[str]):
    """The events of a stream as (id, data); comments are left out, the last one ends it as ("end", data)."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and "data" in found:
            yield found.get("event") or int(found["id"]), json.loads(found["data"])
            found = {}
        elif name:
            found[name] = value


class Asgi:
    """One request to an application, whose answer comes in pieces."""

    def __init__(self, application, path, query=b"", headers=()):
        self.status, self.text, self.is_complete = None, "", False
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked = False
        given = [(name.encode(), value.encode()) for name, value in (("host", "localhost"), *headers)]
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": given,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
            "http_version": "1.1",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        self.task = asyncio.create_task(application(self._scope, self._receive, self._send))

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message.get("body", b"").decode()
            self.is_complete = not message.get("more_body", False)
        self._changed.set()

    @property
    def events(self):
        """What has come."""
        return list(read_stream(self.text.split("\n")))

    async def until(self, happened):
        """Until it is so."""
        async with asyncio.timeout(60):
            while not happened(self):
                await self._changed.wait()
                self._changed.clear()
        return self

    async def leave(self):
        """The reader goes away."""
        self._gone.set()
        await self.task


@asynccontextmanager
async def streaming(service, query=b"", token=None, **headers) -> AsyncIterator[Asgi]:
    """A stream of events that is left in the end."""
    given = {"authorization": f"Bearer {token or service.token}", "accept": "text/event-stream"} | headers
    reader = Asgi(service.application, "/v1/events", query, list(given.items()))
    try:
        yield await reader.until(lambda it: it.status is not None)
    finally:
        await reader.leave()
