"""What Celery's remote control may do to a worker: whoever can send a message can send a command too.

Celery's own commands cancel consumers, revoke tasks and end workers, and what they read shows passwords and orders. By
default a worker answers commands that read, without either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING

from celery.worker.control import Panel

if TYPE_CHECKING:
    from celery.worker import WorkController

#: Commands that read, by their names and their older ones. One that a new Celery brings is refused until it is named.
READING = frozenset(
    {"ping", "clock", "stats", "conf", "report", "registered", "active_queues", "revoked"}
    | {"active", "reserved", "scheduled", "query_task"}
    | {"dump_conf", "dump_tasks", "dump_revoked", "dump_active", "dump_reserved", "dump_schedule"}
)
REFUSED = "remote control only reads here (INVOICES_REMOTE_CONTROL)"
#: Fields of a running task that hold what was ordered.
CONTENT = frozenset({"args", "kwargs", "argsrepr", "kwargsrepr"})
NOT_SHOWN = "not shown"
#: What may be asked about a registered task: anything else is whatever Python keeps on it.
TASK_FIELDS = frozenset({"exchange", "routing_key", "rate_limit"})

Handler = Callable[..., object]
Redact = Callable[[object], object]


def limit_remote_control(allowed: str, redact: Redact) -> None:
    """From now on workers in this process obey what ``allowed`` says: ``read`` or ``all``.

    ``redact``: gives a copy of a reply without secrets.
    """
    limit_handlers(Panel.data, allowed, redact)


def limit_handlers(handlers: MutableMapping[str, Handler], allowed: str, redact: Redact) -> None:
    """Put others in the place of handlers: what changes something is refused, what is read comes without secrets."""
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
    """Celery's own greeting between workers, which would take over the tasks that the sender says are revoked."""
    return {"revoked": [], "clock": state.app.clock.forward()} if from_node != state.hostname else None
