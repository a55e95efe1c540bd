"""What a list item is: a kombu message, or something else that must not stop the worker.

An item that is no message is wrapped in one, with the item as its body and the reason in a header. A consumer gets it
as a decoding error, and rejects it like any message that can't be used.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from typing import Any, TypeAlias

from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from domain.json_size import holds_more_values, opens_more
from workers.transport.message_limits import (
    MAX_DEATHS_UNREAD,
    MAX_DEPTH,
    MAX_ENVELOPE_BYTES,
    MAX_ENVELOPE_VALUES,
    MAX_ITEM_BYTES,
)
from workers.transport.scripts import DEATHS, OVERSIZED

#: The header of a message that wraps an item which was none; its value is the reason.
UNREADABLE = "invoices-unreadable"


_SHORTENED = re.compile(rb"%s (\d{1,18}) ([0-9a-f]{40}) (.*)" % OVERSIZED.encode(), re.DOTALL)
_BEGINNING = re.compile(rb'\[?\{"%s": (\d{1,9})[,}]' % DEATHS.encode())


#: kombu's reader, which makes a decoder for each message, is asked only where objects of its own may stand.
TYPE_MARK = "__type__"
_DECODER = json.JSONDecoder()


class UnreadableError(ValueError):
    """A list item is no message."""


#: A message as JSON: nothing is known of its parts.
Payload: TypeAlias = dict[str, Any]


class Claimed(Payload):
    """A message as it came out of the broker, already recorded under ``tag``."""

    def __init__(self, payload: Payload, tag: str, queue: str) -> None:
        super().__init__(payload)
        self.tag = tag
        self.queue = queue


class Message(virtual.Message):
    """kombu's message, but a claimed one is acknowledged by the claim's tag, not by the one its sender wrote.

    Senders may leave out ``delivery_tag``, or use one twice. What they wrote stays in ``properties``.
    """

    delivery_info: object
    deaths = 0  #: consumers that died with this message in hand

    def __init__(self, payload: object, channel: object = None, **kwargs: object) -> None:
        if not isinstance(payload, Claimed):
            super().__init__(payload, channel, **kwargs)
            return
        try:
            self._take(payload, channel, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever a sender wrote must not end the consumer
            self.errors = None
            self._take(unreadable(dumps(payload).encode(), payload.queue, _why(error)), channel, **kwargs)
        self.delivery_tag = payload.tag
        self.deaths = count_deaths(payload)
        if not isinstance(self.delivery_info, dict) or "routing_key" not in self.delivery_info:
            self.delivery_info = {"exchange": "", "routing_key": payload.queue}
        reason = self.headers.get(UNREADABLE)
        if reason is not None:
            try:
                raise UnreadableError(str(reason)[:200])
            except UnreadableError:
                self.errors = [sys.exc_info()]

    def _take(self, payload: Payload, channel: object, **kwargs: object) -> None:
        properties = {"delivery_tag": None, **payload["properties"]}
        super().__init__({**payload, "properties": properties}, channel, **kwargs)


def read_item(item: bytes, tag: str, queue: str, *, unread: bool = False) -> Claimed:
    """The message in a list item, or one that wraps it. ``unread``: don't parse one that killed too many who did."""
    deaths = count_deaths_of_item(item)
    if unread and deaths >= MAX_DEATHS_UNREAD:
        return Claimed(unreadable(item, queue, f"was delivered {deaths} times and never finished"), tag, queue)
    try:
        return Claimed(_read(item), tag, queue)
    except Exception as error:  # noqa: BLE001 - the item is anybody's text
        return Claimed(read_unreadable(item, queue, _why(error)), tag, queue)


def read_unreadable(item: bytes, queue: str, reason: str = "the list item is no message") -> Payload:
    """A message that wraps an item which is none, or what is left of one that was too long."""
    short = _SHORTENED.fullmatch(item)
    if short is None:
        return unreadable(item, queue, reason)
    reason = f"the message is {int(short[1])} bytes long, at most {MAX_ITEM_BYTES} are taken"
    return unreadable(short[3], queue, reason, short[2].decode())


def count_deaths(message: Payload) -> int:
    """How many consumers died with this message in hand."""
    deaths = message.get(DEATHS)
    return min(max(deaths, 0), 10**6) if isinstance(deaths, int) else 0  # a sender may have written it


def count_deaths_of_item(item: bytes) -> int:
    """The same for an item that was not parsed: the count is at its very beginning."""
    beginning = _BEGINNING.match(item)
    return int(beginning[1]) if beginning else 0


def _read(item: bytes) -> Payload:
    """The message in an item. Within bounds, because this runs on the consumer's loop."""
    if holds_more_values(item, MAX_ENVELOPE_VALUES):
        raise UnreadableError(f"holds more than {MAX_ENVELOPE_VALUES} values besides its body")
    text = bytes_to_str(item)
    message = _checked(loads(text) if TYPE_MARK in text else _DECODER.decode(text))
    if len(item) > MAX_ENVELOPE_BYTES and (size := len(dumps(_about(message)))) > MAX_ENVELOPE_BYTES:
        raise UnreadableError(f"holds {size} bytes besides its body, at most {MAX_ENVELOPE_BYTES} are taken")
    if opens_more(item, MAX_DEPTH) and _depth(_about(message)) > MAX_DEPTH:
        raise UnreadableError(f"is nested more than {MAX_DEPTH} deep")
    return message


def _about(message: Payload) -> Payload:
    """A message without its body, if that is a text."""
    return {**message, "body": None} if isinstance(message.get("body"), str) else message


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, (dict, list))]:
        level = [child for part in level for child in (part.values() if isinstance(part, dict) else part)]
        depth += 1
    return depth


def unreadable(item: bytes, queue: str, reason: str, tag: str | None = None) -> Payload:
    """A message whose body is ``item``; the same item always gives the same message."""
    return {
        "body": base64.b64encode(item).decode(),
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "headers": {UNREADABLE: reason},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": tag or hashlib.sha256(item).hexdigest(),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
        },
    }


# --- records of unacknowledged messages -------------------------------------------------------------------------------


def record_ending(queue: str) -> str:
    """What follows a message in its record, ``[message, exchange, routing key]``.

    The empty exchange makes kombu put a message back into the queue named as routing key, whatever its sender wrote.
    """
    return f', "", {dumps(queue)}]'


def read_record(record: bytes) -> tuple[Payload, str, str] | None:
    """The message in a record, its exchange and routing key; None: it holds no message."""
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


def mark_redelivered(message: Payload, died: bool) -> Payload:
    """Note in a message that it was delivered before, as kombu does, where its parts have the usual shape.

    ``died``: also that one more of its consumers died. That goes to its beginning, where a claim looks.
    """
    info = message["properties"].get("delivery_info")
    for part in (message.get("headers"), info):
        if isinstance(part, dict):
            part["redelivered"] = True
    deaths = count_deaths(message) + died
    message.pop(DEATHS, None)
    return {DEATHS: deaths, **message} if deaths else message


def drop_odd_priority(message: Payload) -> None:
    """Remove a priority that is neither a whole number nor text.

    kombu calls ``int`` on it. Infinity raises an error that kombu does not expect, and the Decimal 1e99999999 (its JSON
    has Decimals) takes for ever: messages of dead consumers would no longer come back.
    """
    properties = message["properties"]
    if not isinstance(properties.get("priority"), (int, str)):
        properties.pop("priority", None)


def _checked(message: object) -> Payload:
    if not isinstance(message, dict) or not isinstance(message.get("properties"), dict):
        raise UnreadableError("is no object with properties")
    return message


def _why(error: Exception) -> str:
    """In our own words: a decoder's are about Python, not about what was sent."""
    reason = error if isinstance(error, UnreadableError) else "it can't be decoded"
    return f"the list item is no message: {reason}"
