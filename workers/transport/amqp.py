"""kombu's AMQP transport for workers, with a bound on the length of messages.

The broker announces a message's length before its body, which comes in frames of at most 128 KiB. Of one that is too
long only the beginning is kept. It is handed over as a message that can't be decoded, and rejected like any other of
those.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqp.method_framing import frame_handler
from kombu.transport import pyamqp

from workers.transport.message import UNREADABLE, UnreadableError
from workers.transport.message_limits import EXCERPT_BYTES, MAX_MANY_BODY_BYTES

if TYPE_CHECKING:
    from amqp import Message as BasicMessage

HEADER, BODY = 2, 3
#: Where a content header has the body's length: after class and weight.
SIZE_AT = 4
#: Kind, channel, content.
Frame = tuple[int, int, bytes]


class Message(pyamqp.Message):
    """kombu's; one that was shortened is a decoding error."""

    def __init__(self, msg: BasicMessage, channel: object = None, **kwargs: object) -> None:
        super().__init__(msg, channel=channel, **kwargs)
        length = getattr(msg, "whole_length", None)
        if length is not None:
            reason = f"the message is {length} bytes long, at most {MAX_MANY_BODY_BYTES} are taken"
            self.headers = {**(msg.properties.get("application_headers") or {}), UNREADABLE: reason}
            try:
                raise UnreadableError(reason)
            except UnreadableError:
                self.errors = [sys.exc_info()]


class Channel(pyamqp.Channel):
    """kombu's, with messages that may have been shortened."""

    Message = Message


class BoundedFrames:
    """amqp's frame handler, given only the beginning of a body that is too long."""

    def __init__(self, connection: Connection, callback: Callable[..., object]) -> None:
        """``callback``: gets each method, with its message if it has one."""
        self._connection = connection
        self._callback = callback
        self._handle: Callable[[Frame], object] = frame_handler(connection, self._hand_over)
        self._shortened: dict[int, int] = {}  # channel -> the whole body's length
        self._left: dict[int, int] = {}  # channel -> bytes of it still to come
        self._wanted: dict[int, int] = {}  # channel -> bytes of it still to be kept

    def __call__(self, frame: Frame) -> object:
        """Take a frame. Returns whether it ended a method; one that is dropped ends none."""
        kind, channel, content = frame
        if kind == HEADER:
            content = self._shorten(channel, content)
        elif kind == BODY and channel in self._left:
            content = self._cut(channel, content)
            if not content:
                self._connection.bytes_recv += 1  # for its heartbeat
                return False
        return self._handle((kind, channel, content))

    def _shorten(self, channel: int, header: bytes) -> bytes:
        """The header, announcing no more than what is kept of the body."""
        (length,) = struct.unpack_from(">Q", header, SIZE_AT)
        if length <= MAX_MANY_BODY_BYTES:
            return header
        self._shortened[channel] = self._left[channel] = length
        self._wanted[channel] = EXCERPT_BYTES
        head = bytes(header)
        return head[:SIZE_AT] + struct.pack(">Q", EXCERPT_BYTES) + head[SIZE_AT + 8 :]

    def _cut(self, channel: int, content: bytes) -> bytes:
        """What is kept of a part of a body that is too long."""
        self._left[channel] -= len(content)
        if self._left[channel] <= 0:
            del self._left[channel]
        part = content[: self._wanted[channel]]
        self._wanted[channel] -= len(part)
        return part

    def _hand_over(self, channel: int, method: object, arguments: object, content: BasicMessage | None) -> None:
        if content is not None and channel in self._shortened:
            content.whole_length = self._shortened.pop(channel)
        self._callback(channel, method, arguments, content)


class Connection(pyamqp.Connection):
    """kombu's, which drops what is too long while it reads."""

    Channel = Channel

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"frame_handler": BoundedFrames, **kwargs})


class Transport(pyamqp.Transport):
    """kombu's AMQP transport with a bound on what it reads."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """The same over TLS."""

    Connection = Connection
