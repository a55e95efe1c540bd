"""What a list item is: a kombu message, or something else that must not stop the worker.

An item that is no message becomes a message around it, with the item as its body and the reason in a header. A consumer
gets it as a decoding error, so it ends where every message ends that can't be used.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import Any

from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

#: The header that marks a message made around an item that was none; its value is the reason.
UNREADABLE = "invoices-unreadable"


class UnreadableError(ValueError):
    """A list item is no message."""


class Claimed(dict[str, Any]):
    """A message as it came out of the broker, already recorded under ``tag``."""

    def __init__(self, payload: dict[str, Any], tag: str, queue: str) -> None:
        super().__init__(payload)
        self.tag = tag
        self.queue = queue


class Message(virtual.Message):
    """kombu's message; a claimed one is acknowledged by its consumer's tag, not by the one its sender wrote.

    Senders may leave out ``delivery_tag`` or use one twice. What they wrote stays in ``properties``.
    """

    delivery_info: Any

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        if not isinstance(payload, Claimed):
            super().__init__(payload, channel, **kwargs)
            return
        try:
            self._take(payload, channel, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever a sender wrote must not end the consumer
            self.errors = None
            self._take(unreadable(dumps(payload).encode(), payload.queue, _why(error)), channel, **kwargs)
        self.delivery_tag = payload.tag
        if not isinstance(self.delivery_info, dict) or "routing_key" not in self.delivery_info:
            self.delivery_info = {"exchange": "", "routing_key": payload.queue}
        reason = self.headers.get(UNREADABLE)
        if reason is not None:
            try:
                raise UnreadableError(str(reason)[:200])
            except UnreadableError:
                self.errors = [sys.exc_info()]

    def _take(self, payload: dict[str, Any], channel: Any, **kwargs: Any) -> None:
        properties = {"delivery_tag": None, **payload["properties"]}
        super().__init__({**payload, "properties": properties}, channel, **kwargs)


def read_item(item: bytes, tag: str, queue: str) -> Claimed:
    """The message in a list item, or one around it."""
    try:
        return Claimed(_checked(loads(bytes_to_str(item))), tag, queue)
    except Exception as error:  # noqa: BLE001 - the item is anybody's text
        return Claimed(unreadable(item, queue, _why(error)), tag, queue)


def unreadable(item: bytes, queue: str, reason: str) -> dict[str, Any]:
    """A message whose body is ``item``; the same item always gives the same message."""
    return {
        "body": base64.b64encode(item).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {UNREADABLE: reason},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": hashlib.sha256(item).hexdigest(),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
        },
    }


# --- records of unacknowledged messages -------------------------------------------------------------------------------


def record_ending(queue: str) -> str:
    """What follows a message in its record, ``[message, exchange, routing key]``.

    With the empty exchange kombu puts a message back into the queue named as routing key, whatever its sender wrote.
    """
    return f', "", {dumps(queue)}]'


def read_record(record: bytes) -> tuple[dict[str, Any], str, str] | None:
    """The message in a record, its exchange and routing key; None when there is no message in it."""
    try:
        message, exchange, routing_key = loads(bytes_to_str(record))
        return _checked(message), str(exchange or ""), str(routing_key or "")
    except Exception:  # noqa: BLE001 - the same text as in read_item
        return None


def split_record(record: bytes) -> tuple[bytes, str | None]:
    """The item and the queue of a record that holds no message; the queue is None in a record that isn't ours."""
    item, _, ending = record.rpartition(b', "", ')
    try:
        return item.removeprefix(b"["), str(loads(ending.decode().removesuffix("]")))
    except ValueError:
        return record, None


def mark_redelivered(message: dict[str, Any]) -> dict[str, Any]:
    """Say in a message that it was delivered before, as kombu does, where its parts have the usual shape."""
    info = message["properties"].get("delivery_info")
    for part in (message.get("headers"), info):
        if isinstance(part, dict):
            part["redelivered"] = True
    return message


def drop_odd_priority(message: dict[str, Any]) -> None:
    """Leave a priority that is no whole number or text behind.

    kombu calls ``int`` on it: infinity raises what kombu does not expect, and the Decimal 1e99999999 (its JSON knows
    Decimals) takes for ever; no message of a dead consumer would come back any more.
    """
    properties = message["properties"]
    if not isinstance(properties.get("priority"), (int, str)):
        properties.pop("priority", None)


def _checked(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        raise UnreadableError("is no object with properties")
    return message


def _why(error: Exception) -> str:
    """Our own words: a decoder's would be about Python, not about what was sent."""
    return f"the list item is no message: {error if isinstance(error, UnreadableError) else 'it can not be decoded'}"
