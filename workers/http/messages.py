"""A request and its reply. httpx's own classes cost as much CPU as signing an event or reading an answer does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

#: How far a request has got: no connection so far, so nothing of it has left; or it was written.
Progress = Literal["connecting", "written"]
CONNECTING: Progress = "connecting"
WRITTEN: Progress = "written"


#: Names and values.
Headers = tuple[tuple[str, str], ...]


class Request:
    """What is sent, as it is: the wire adds Host and Content-Length.

    ``headers`` are the same for many requests and are written once for all of them. ``own_headers`` are only this
    one's; their names are in lower case.
    """

    __slots__ = ("body", "headers", "method", "own_headers", "progress", "tell_wait", "url")

    def __init__(self, method: str, url: str, headers: Headers, body: bytes, own_headers: Headers = ()) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.own_headers = own_headers
        self.body = body
        self.progress: Progress = CONNECTING
        #: Told of waits that are no fault of the host: see ``telling_waits`` of ``workers/http/name_lookup.py``.
        self.tell_wait: Callable[[float], None] | None = None


class Reply:
    """An answer's head, and its body piece by piece. Whoever reads it closes it, also where they stop early."""

    __slots__ = ("raw_headers", "status_code")

    def __init__(self, status_code: int, raw_headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code = status_code
        self.raw_headers = raw_headers

    async def read(self) -> bytes:
        """More of the body; empty at its end."""
        raise NotImplementedError

    def whole(self) -> bytes | None:
        """The body, if it has come with the head; it is then read. None: ``read`` it."""
        return None

    async def aclose(self) -> None:
        """Nothing more is read."""
        raise NotImplementedError

    def header(self, name: bytes) -> str | None:
        """The first header of this name, which is given in lower case."""
        return next((value.decode("latin-1") for key, value in self.raw_headers if key.lower() == name), None)
