"""Sends an answer's head and body together: uvicorn writes each by itself, which makes two packets."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable

#: More than this is written at once, so that the transport can tell the application to wait.
MOST_KEPT = 64 * 1024


class Together:
    """A transport that writes everything from one turn of the event loop at once.

    ``lingers`` is asked when the connection is to be closed. If it does, we only stop writing: the client reads the
    answer and its end, and what it still sends can be read. The next ``close`` closes it.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop, lingers: Callable[[], bool]) -> None:
        self._transport = transport
        self._loop = loop
        self._lingers = lingers
        self._is_lingering = False
        self._kept: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write it before the next turn's events."""
        if not data:
            return
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)
        self._size += len(data)
        if self._size > MOST_KEPT:
            self._flush()

    def close(self) -> None:
        """Close the connection once all is written."""
        self._flush()
        if self._is_lingering or self._transport.is_closing() or not self._lingers():
            self._transport.close()
        else:
            self._is_lingering = True
            self._transport.write_eof()

    def is_closing(self) -> bool:
        """As the transport's: nothing can be written any more."""
        return self._is_lingering or self._transport.is_closing()

    def resume_reading(self) -> None:
        """As the transport's."""
        self._transport.resume_reading()

    def _flush(self) -> None:
        data, self._kept, self._size = b"".join(self._kept), [], 0
        if data and not self._transport.is_closing():
            self._transport.write(data)
