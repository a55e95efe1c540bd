"""What Celery's remote control may do to a worker: whoever can send a message can send a command too.

Celery's commands can cancel consumers, revoke tasks and end workers, and their replies show passwords and orders. By
default a worker answers only commands that read, without passwords and orders.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING

from celery.worker.control import Panel

if TYPE_CHECKING:
    from celery.worker import WorkController

#: Commands that read, by their names and older names. A new Celery's new commands are refused until they are added.
READING = frozenset(
    {"ping", "clock", "stats", "conf", "report", "registered", "active_queues", "revoked"}
    | {"active", "reserved", "scheduled", "query_task"}
    | {"dump_conf", "dump_tasks", "dump_revoked", "dump_active", "dump_reserved", "dump_schedule"}
)
REFUSED = "remote control only reads here (INVOICES_REMOTE_CONTROL)"
#: Fields of a running task that hold orders.
CONTENT = frozenset({"args", "kwargs", "argsrepr", "kwargsrepr"})
NOT_SHOWN = "not shown"
#: What may be asked about a registered task. Otherwise any attribute of the Python object could be.
TASK_FIELDS = frozenset({"exchange", "routing_key", "rate_limit"})

Handler = Callable[..., object]
Redact = Callable[[object], object]


def limit_remote_control(allowed: str, redact: Redact) -> None:
    """Let workers in this process obey only what ``allowed`` says: ``read`` or ``all``.

    ``redact`` returns a copy of a reply without secrets.
    """
    limit_handlers(Panel.data, allowed, redact)


def limit_handlers(handlers: MutableMapping[str, Handler], allowed: str, redact: Redact) -> None:
    """Replace handlers: those that change something refuse, those that read reply without secrets."""
    for name, handler in list(handlers.items()):
        if name in READING:
            handlers[name] = _redacted(handler, redact)
        elif allowed != "all":
            handlers[name] = _answer_hello if name == "hello" else _refuse


def _redacted(handler: Handler, redact: Redact) -> Handler:
    @functools.wraps(handler)
    def read(state: object, **arguments: object) -> object:
        if "taskinfoitems" in arguments:
            arguments["taskinfoitems"] = _known_fields(arguments["taskinfoitems"])
        return redact(_without_content(handler(state, **arguments)))

    return read


def _known_fields(asked: object) -> list[str]:
    fields: Iterable[object] = asked if isinstance(asked, (list, tuple)) else ()
    return [field for field in fields if isinstance(field, str) and field in TASK_FIELDS]


def _without_content(reply: object) -> object:
    if isinstance(reply, Mapping):
        return {
            name: NOT_SHOWN if name in CONTENT and value else _without_content(value) for name, value in reply.items()
        }
    if isinstance(reply, (list, tuple)):
        return [_without_content(part) for part in reply]
    return reply


def _refuse(_state: object, **_: object) -> dict[str, str]:
    return {"error": REFUSED}


def _answer_hello(state: WorkController, from_node: object = None, **_: object) -> dict[str, object] | None:
    """Celery's greeting between workers. Its own would revoke whatever tasks the sender names."""
    return {"revoked": [], "clock": state.app.clock.forward()} if from_node != state.hostname else None
