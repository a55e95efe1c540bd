"""Reads a message before Celery sees it: what it asks for, as a call of ours, or why it is turned away.

Pure: no Celery, no kombu, no clock. ``inspect`` never raises, whatever is in the message. It exists because Celery
trusts its messages: one without ``id`` is taken for a lost connection and comes back for ever, a body that is JSON but
not ``[args, kwargs, embed]`` ends the worker, a sender's ``expires`` silently drops the order, and every decimal
becomes a binary float before a task sees it.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from domain.decision import Stage
from domain.exact_json import read_json, write_json
from domain.order import OrderError, parse_cancellation, parse_orders
from domain.refused_order import read_refused
from domain.trace import read_trace
from workers.intake.body import Unusable, body_text, check_content, check_text, clean, parse_body
from workers.transport.message_limits import EXCERPT_BYTES

CREATE = "invoices.create"
CREATE_MANY = "invoices.create_many"
CANCEL = "invoices.cancel"
REJECT = "invoices.reject"  #: internal: stores a message that was rejected
RUN = "invoices.run"
SWEEP = "invoices.sweep"

INTAKE_TASKS = frozenset({CREATE, CREATE_MANY, CANCEL})
TASKS = INTAKE_TASKS | {RUN, SWEEP}

MAX_ETA = timedelta(seconds=60)
MAX_ID_LENGTH = 255
MAX_NAME_LENGTH = 255
EXCERPT_CHARACTERS = EXCERPT_BYTES

#: Checks that need no accounts, for the tasks that share no bundle. Turned away here, a bad message goes into a bundle
#: with others; otherwise it would take a task of its own just to be refused. ``invoices.create`` shares bundles anyway:
#: its orders are checked there.
_CHECKS: Mapping[str, Callable[[object], object]] = {CREATE_MANY: parse_orders, CANCEL: parse_cancellation}
STAGES = frozenset(stage.value for stage in Stage)
_DOORBELL_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
#: The headers that Celery may look for. Of a sender's own headers only id and task are kept.
_HEADERS: Mapping[str, object] = {
    "lang": "py",
    "parent_id": None,
    "group": None,
    "shadow": None,
    "eta": None,
    "expires": None,
    "retries": 0,
    "timelimit": [None, None],
    "argsrepr": "-",  # if it were empty, Celery would compute a repr of the order for its log
    "kwargsrepr": "-",
    "origin": "",
    "ignore_result": True,
}

#: A message's headers, properties and body as they came.
Sent: TypeAlias = tuple[dict[str, object], object, object]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that can be handed to ``task``. ``arguments`` are plain JSON values without floats.

    Those of an intake task: ``[text, message_key, expires]``, the exact JSON text of the fields, the message's stable
    key, and the sender's ``expires`` as an ISO time or None. The trace that its orders belong to, if the message names
    one, is the fourth (``domain/trace.py``).
    """

    task: str
    id: str
    arguments: list[Any]


class AcceptedOrder(Accepted):
    """A message of ``invoices.create``, as it is taken. Its text and its key are made when they are asked for: few
    orders that are stored need them."""

    __slots__ = ("_sent", "expires", "fields", "trace")
    fields: dict[str, object]
    expires: datetime | None
    trace: str | None
    _sent: Sent

    def __init__(
        self, task_id: str, fields: dict[str, object], sent: Sent, expires: datetime | None, trace: str | None
    ) -> None:
        for name, value in (("task", CREATE), ("id", task_id), ("fields", fields), ("expires", expires)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "trace", trace)
        object.__setattr__(self, "_sent", sent)

    def __reduce__(self) -> tuple[type[Accepted], tuple[object, ...]]:
        """A copy is as it would be kept."""
        return Accepted, (self.task, self.id, self.arguments)

    @property
    def task_id(self) -> str:
        """The sender's name for the message."""
        return self.id

    @property
    def text(self) -> str:
        """Its fields as JSON, digit for digit."""
        return write_json(self.fields)

    @property
    def key(self) -> str:
        """The same on every delivery."""
        return message_key(*self._sent)

    @property
    def arguments(self) -> list[Any]:
        """As an ``Accepted`` has them."""
        expires = None if self.expires is None else self.expires.isoformat()
        return [self.text, self.key, expires, *([self.trace] if self.trace else [])]


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A message that can't be used. ``complete``: ``excerpt`` is the whole JSON object that ``task`` takes."""

    task: str | None
    reason: str
    excerpt: str
    complete: bool
    message_key: str
    order: Sequence[str | None] | None = None  #: account, order_id and idempotency_key of the order in it

    @property
    def arguments(self) -> list[Any]:
        """What ``invoices.reject`` takes."""
        order = None if self.order is None else list(self.order)
        return [self.task, self.reason, self.excerpt, self.complete, self.message_key, order]


@dataclass(slots=True)
class _Parts:
    """What is known of a message so far: a refusal tells its task and fields however far the reading came."""

    task: str | None = None
    kwargs: dict[str, object] | None = None

    def fields(self) -> str | None:
        """The JSON text of kwargs."""
        return None if self.kwargs is None else write_json(self.kwargs)


def inspect(
    headers: object, properties: object, body: object, content_type: object, content_encoding: object, *, now: datetime
) -> Accepted | TurnedAway:
    """Read a message of Celery protocol 1 or 2. An ``eta`` is compared with ``now`` (aware)."""
    headers = headers if isinstance(headers, dict) else {}
    sent = headers, properties, body
    parts = _Parts()
    try:
        return _read(sent, content_type, content_encoding, now, parts)
    except Unusable as unusable:
        reason = str(unusable)
    except Exception as error:  # noqa: BLE001 - a message that breaks this check must not reach Celery for that
        reason = f"can't be read: {type(error).__name__}"
    fields = parts.fields()
    return _about_an_order(turn_away(body, reason, message_key(*sent), task=parts.task, fields=fields), parts.kwargs)


def turn_away(
    body: object, reason: str, message_key: str, *, task: str | None = None, fields: str | None = None
) -> TurnedAway:
    """A refusal with the first 2 KiB of the message: of its fields where they could be read, otherwise of its body."""
    whole = fields if fields is not None else body_text(body)
    return TurnedAway(
        task=clean(task)[:MAX_NAME_LENGTH] if task is not None else None,
        reason=clean(reason)[:1000],
        excerpt=clean(whole[:EXCERPT_CHARACTERS]),
        complete=fields is not None and len(fields) <= EXCERPT_CHARACTERS,
        message_key=message_key,
    )


def _about_an_order(refusal: TurnedAway, fields: object) -> TurnedAway:
    """The refusal with the order that it is about, if it is about one: its shop is told."""
    order = read_refused(fields) if refusal.task == CREATE else None
    if order is None:
        return refusal
    return replace(refusal, order=(order.account, order.order_id, order.idempotency_key))


def give_up(message: Accepted, deliveries: int) -> TurnedAway:
    """Refuse a good message that was delivered so often without ending: each worker that had it in hand died."""
    reason = f"was delivered {deliveries} times and never finished"
    if message.task not in INTAKE_TASKS:
        return turn_away(write_json(message.arguments), reason, message.id, task=message.task)
    text, key, *_ = message.arguments
    return _about_an_order(turn_away(text, reason, key, task=message.task, fields=text), read_json(text))


def message_key(headers: object, properties: object, body: object) -> str:
    """A key that is the same for every delivery of a message: SHA-256 (hex) of its body and its sender's tags."""
    tags = []
    for place, names in ((properties, ("delivery_tag", "message_id", "correlation_id")), (headers, ("id",))):
        if isinstance(place, dict):
            tags += [str(place[name])[:MAX_ID_LENGTH] for name in names if isinstance(place.get(name), str)]
    digest = hashlib.sha256("\0".join(tags).encode(errors="backslashreplace"))
    digest.update(b"\0" + (body if isinstance(body, bytes) else body_text(body).encode(errors="backslashreplace")))
    return digest.hexdigest()


def task_headers(task: str, task_id: str) -> dict[str, object]:
    """The headers of a protocol-2 message as Celery wants them; none of the sender's."""
    return {**_HEADERS, "task": task, "id": task_id, "root_id": task_id}


# --- reading ------------------------------------------------------------------------------------------------------


def _read(sent: Sent, content_type: object, content_encoding: object, now: datetime, parts: _Parts) -> Accepted:
    headers, _, body = sent
    parts.task = _name(headers.get("task")) if "task" in headers else None
    if headers.get("compression"):
        raise Unusable("compression: compressed bodies are not taken")
    check_content(content_type, content_encoding)
    document = parse_body(body, parts.task, of_many=CREATE_MANY)
    about, args, kwargs = (headers, *_protocol_2(document)) if parts.task else _protocol_1(document, parts)
    _check_task(parts.task)
    task = parts.task or ""
    if task in INTAKE_TASKS:
        parts.kwargs = kwargs
        if not isinstance(body, bytes) or b"\\u" in body:  # only an escape can be half of a surrogate pair
            check_text(write_json(kwargs))
    _check_eta(about.get("eta"), now)
    task_id = _task_id(about)
    if task not in INTAKE_TASKS:
        return Accepted(task, task_id, _doorbell(task, args, kwargs))
    if args:
        raise Unusable("args: send the fields as keyword arguments (kwargs), not as positional ones")
    expires = None if task == CANCEL else _expires(about.get("expires"))
    _check_call(task, kwargs)
    trace = None if task == CANCEL else read_trace(headers.get("traceparent"), headers.get("tracestate"))
    found = AcceptedOrder(task_id, kwargs, sent, expires, trace)
    return found if task == CREATE else Accepted(task, task_id, found.arguments)


def _check_call(task: str, kwargs: dict[str, object]) -> None:
    if task in _CHECKS:
        try:
            _CHECKS[task](kwargs)
        except OrderError as error:
            raise Unusable(str(error)) from None


def _name(task: object) -> str:
    if not isinstance(task, str) or not task:
        raise Unusable("task: must be the task's name")
    return task


def _check_task(task: str | None) -> None:
    if task not in TASKS:
        shown = clean(task or "")[:100]
        raise Unusable(f"task: there is no task {shown!r}; orders go to {CREATE}, {CREATE_MANY} or {CANCEL}")


def _protocol_2(document: object) -> tuple[list[object], dict[str, object]]:
    if not isinstance(document, list) or len(document) != 3:
        raise Unusable("body: must be [args, kwargs, embed]")
    args, kwargs, embed = document
    if embed is not None and not isinstance(embed, dict):
        raise Unusable("body: embed (its third item) must be an object")
    return _arguments(args, kwargs)


def _protocol_1(document: object, parts: _Parts) -> tuple[Mapping[str, object], list[object], dict[str, object]]:
    if not isinstance(document, dict) or "task" not in document:
        raise Unusable("task: neither headers (protocol 2) nor body (protocol 1) name a task")
    parts.task = _name(document["task"])
    return document, *_arguments(document.get("args"), document.get("kwargs"))


def _arguments(args: object, kwargs: object) -> tuple[list[object], dict[str, object]]:
    """Null counts as none: some clients write it (gocelery does)."""
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list):
        raise Unusable("args: must be a list")
    if not isinstance(kwargs, dict):
        raise Unusable("kwargs: must be an object")
    return args, kwargs


def _task_id(about: Mapping[str, object]) -> str:
    """The sender's id. An unusable one is replaced; only a missing one makes the message unusable."""
    found = about.get("id")
    if found is None:
        raise Unusable("id: is missing (Celery's header `id`, in protocol 1 the field `id`)")
    if isinstance(found, str) and 0 < len(found) <= MAX_ID_LENGTH and found.isprintable():
        return found
    return str(uuid.uuid4())


def _doorbell(task: str, args: list[object], kwargs: dict[str, object]) -> list[object]:
    wanted = ["stage", "lane"] if task == RUN else []
    words = all(isinstance(word, str) and _DOORBELL_WORD.fullmatch(word) for word in args)
    if kwargs or len(args) != len(wanted) or not words or (args and args[0] not in STAGES):
        raise Unusable(f"args: {task} takes {wanted} and no kwargs")
    return args


def _check_eta(eta: object, now: datetime) -> None:
    """Refuse a message that is to wait: it would be delivered again and again. A nearer eta is ignored."""
    if eta is not None and _time("eta", eta) > now + MAX_ETA:
        raise Unusable("eta: lies more than 60 s ahead; send the order when it is to be made")


def _expires(expires: object) -> datetime | None:
    return None if expires is None else _time("expires", expires)


def _time(name: str, value: object) -> datetime:
    """Read an ISO time (in UTC if it names no zone, as in Celery) or epoch seconds."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value.strip())
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        raise Unusable(f"{name}: is not a time") from None
    raise Unusable(f"{name}: must be an ISO 8601 time or epoch seconds")
