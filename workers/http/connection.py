"""One kept connection: one request at a time, its answer parsed as it comes (by llhttp, Node's parser)."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from workers.http.errors import BrokenOff, ClosedEarly, NotHttp

#: Bounds of an answer's head: headers, and bytes of them.
MAX_HEADERS = 100
MAX_HEAD_BYTES = 32 * 1024

#: How much of a body may wait for its reader; beyond that, nothing more is read from the connection.
BUFFER_BYTES = 64 * 1024

_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


class Connection(asyncio.Protocol):
    """Sends a request and holds what has arrived of its answer. Used on one event loop.

    ``received_limit`` bounds all bytes of one answer: chunk extensions and interim answers have no other bound.
    """

    def __init__(self, received_limit: int) -> None:
        self._received_limit = received_limit
        self._parser = httptools.HttpResponseParser(self)
        # As tolerant of sloppy servers as browsers are. Nobody else reads this answer, so nobody can be misled.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_data_after_close=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._is_idle = True  #: no request is under way
        self._is_spoilt = False  #: good for no further request
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._received = 0
        self._has_head = False
        self._is_whole = False
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._error: Exception | None = None

    # ---------------------------------------------------------------- for the wire

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self._is_idle and not self._is_spoilt

    @property
    def heard_nothing(self) -> bool:
        """Whether not a byte of the answer has come."""
        return self._received == 0

    def send(self, request: bytes) -> None:
        """Write a request. Raises ClosedEarly if the connection has just gone."""
        if self._transport is None or not self.is_usable:
            raise ClosedEarly
        self._begin()
        self._is_idle = False
        self._transport.write(request)

    async def read_head(self) -> None:
        """Wait until status and headers are there. Raises WireError or ConnectionError."""
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._news()

    async def read(self) -> bytes:
        """More of the body; empty at its end. Raises WireError or ConnectionError."""
        while not self._chunks:
            if self._is_whole:
                return b""
            if self._error is not None:
                raise self._error
            await self._news()
        return self._take()

    def whole(self) -> bytes | None:
        """The body's rest, if all of it has come. ``read`` brings no more then."""
        if not self._is_whole:
            return None
        return self._take() if self._chunks else b""

    def _take(self) -> bytes:
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def end(self) -> bool:
        """The exchange is over. True: the connection may be used again; otherwise it is closed."""
        if self._is_whole and not self._is_spoilt and not self._is_paused:
            self._is_idle = True
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self._is_spoilt = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def _has_length(self) -> bool:
        """Whether the answer says by itself where it ends."""
        return self.status in {204, 304} or any(name.lower() in _LENGTHS for name, _ in self.headers)

    def _news(self) -> asyncio.Future[None]:
        """Done when something has come, or gone wrong."""
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self._is_whole:
            self._error = error
        self.close()
        self._wake()

    # ---------------------------------------------------------------- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other side is reached."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self._is_idle or self._is_spoilt:
            self.close()  # nobody asked
            return
        self._received += len(data)
        if self._received > self._received_limit:
            self._fail(NotHttp(f"more than {self._received_limit} bytes of answer"))
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(NotHttp("the answer changes the protocol"))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, NotHttp) else NotHttp(str(error)))
            return
        if not self._has_head and self._received > 2 * MAX_HEAD_BYTES:
            self._fail(NotHttp(f"headers of more than {MAX_HEAD_BYTES} bytes"))
            return
        if self._buffered > BUFFER_BYTES and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """This ends an answer without a length, and breaks off any other."""
        self._is_spoilt = True
        self._transport = None
        if not self._is_idle and not self._is_whole and self._error is None:
            if self._has_head and not self._has_length and error is None:
                self._is_whole = True
            elif self._has_head:
                self._error = BrokenOff()
            else:
                self._error = error or ClosedEarly()
        self._wake()

    # ---------------------------------------------------------------- the parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; after the body, a trailer, which nobody reads."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            raise NotHttp(f"more than {MAX_HEADERS} headers, or more than {MAX_HEAD_BYTES} bytes of them")
        if self._is_whole:
            self._is_spoilt = True  # a second answer to one request
        elif not self._has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole, unless it is that of an interim answer (100 Continue, 103 Early Hints)."""
        if self._is_whole:
            self._is_spoilt = True
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            self.headers.clear()
            return
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._is_whole:
            self._chunks.append(data)
            self._buffered += len(data)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._has_head:
            self._is_whole = True
            if not self._parser.should_keep_alive():
                self._is_spoilt = True
