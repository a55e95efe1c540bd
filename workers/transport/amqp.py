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


def bounded_frame_handler(connection: Connection, callback: Callable[..., object]) -> Callable[[Frame], object]:
    """amqp's frame handler, given only the beginning of a body that is too long."""
    shortened: dict[int, int] = {}  # channel -> the whole body's length
    left: dict[int, int] = {}  # channel -> bytes of it still to come
    wanted: dict[int, int] = {}  # channel -> bytes of it still to be kept

    def hand_over(channel: int, method: object, arguments: object, content: BasicMessage | None) -> None:
        if content is not None and channel in shortened:
            content.whole_length = shortened.pop(channel)
        callback(channel, method, arguments, content)

    handle = frame_handler(connection, hand_over)

    def on_frame(frame: Frame) -> object:
        kind, channel, content = frame
        if kind == HEADER:
            (length,) = struct.unpack_from(">Q", content, SIZE_AT)
            if length > MAX_MANY_BODY_BYTES:
                shortened[channel] = left[channel] = length
                wanted[channel] = EXCERPT_BYTES
                head = bytes(content)
                content = head[:SIZE_AT] + struct.pack(">Q", EXCERPT_BYTES) + head[SIZE_AT + 8 :]
        elif kind == BODY and channel in left:
            left[channel] -= len(content)
            if left[channel] <= 0:
                del left[channel]
            part = content[: wanted[channel]]
            wanted[channel] -= len(part)
            if not part:
                connection.bytes_recv += 1  # for its heartbeat
                return False
            content = part
        return handle((kind, channel, content))

    return on_frame


class Connection(pyamqp.Connection):
    """kombu's, which drops what is too long while it reads."""

    Channel = Channel

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"frame_handler": bounded_frame_handler, **kwargs})


class Transport(pyamqp.Transport):
    """kombu's AMQP transport with a bound on what it reads."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """The same over TLS."""

    Connection = Connection
