"""The AsyncAPI 3.0 document: messages that are taken, and events that are sent as stream and as webhooks."""

from __future__ import annotations

from typing import Any

from domain.schemas import Schema, component_schemas, many_orders, ref
from workers.intake.message import CANCEL, CREATE, CREATE_MANY
from workers.web.api.api import JSON

Document = dict[str, Any]

VERSION = "3.0.0"
INTAKE_QUEUE = "invoices.intake"
STREAM = "invoices:events"

_TASKS = {
    CREATE: ("Order", ref("Order"), "One order."),
    CREATE_MANY: ("Orders", many_orders(ref("Order")), "Many orders; each is judged alone."),
    CANCEL: ("Cancellation", ref("Cancellation"), "Give an order up."),
}
_LOGGED = ("InvoiceEvent", "ContradictionEvent", "OrderRejectedEvent", "RestoredEvent")
_TESTED = "TestEvent"


def asyncapi_document(version: str) -> Document:
    """All of it. ``version``: this release's."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "invoices",
            "version": version,
            "description": "Orders in over Celery; events out over a Redis stream and as signed webhooks.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "broker": _server("redis", "`INVOICES_BROKER_URL`: Redis (with TLS, behind Sentinel), or RabbitMQ"),
            "redis": _server("redis", "`INVOICES_REDIS_URL`: the broker's, unless that is RabbitMQ"),
        },
        "channels": {"intake": _intake(), "stream": _stream(), "webhooks": _webhooks()},
        "operations": {
            "takeOrders": _operation("receive", "intake", list(_TASKS), "Orders and cancellations are taken"),
            "publishEvents": _operation("send", "stream", list(_LOGGED), "Every event is published, at least once"),
            "sendWebhooks": _operation("send", "webhooks", [*_LOGGED, _TESTED], "Events are sent to endpoints"),
        },
        "components": {
            "schemas": component_schemas(),
            "messages": {
                **{task: _task(task, *about) for task, about in _TASKS.items()},
                **{name: _event(name) for name in (*_LOGGED, _TESTED)},
            },
        },
    }


def _server(protocol: str, about: str) -> Document:
    host = {"default": "localhost:6379", "description": "host and port"}
    return {"host": "{host}", "protocol": protocol, "description": about, "variables": {"host": host}}


def _intake() -> Document:
    queue = {"name": INTAKE_QUEUE, "durable": True, "exclusive": False, "autoDelete": False}
    return {
        "address": INTAKE_QUEUE,
        "description": (
            "Celery's protocol 2 (1 is taken too), JSON. On Redis a list of Celery's envelopes, on RabbitMQ a queue. "
            "What can't be used is listed by `invoices rejected`, never tried again."
        ),
        "servers": [{"$ref": "#/servers/broker"}],
        "messages": {task: _message(task) for task in _TASKS},
        "bindings": {"amqp": {"is": "queue", "queue": queue, "bindingVersion": "0.3.0"}},
    }


def _stream() -> Document:
    return {
        "address": STREAM,
        "description": "A Redis stream (`INVOICES_STREAM`). An entry per event: its field `event` holds the JSON.",
        "servers": [{"$ref": "#/servers/redis"}],
        "messages": {name: _message(name) for name in _LOGGED},
    }


def _webhooks() -> Document:
    return {
        "address": None,
        "description": "`POST` to each endpoint's address; signed as Standard Webhooks has it, in order per invoice.",
        "messages": {name: _message(name) for name in (*_LOGGED, _TESTED)},
    }


def _operation(action: str, channel: str, messages: list[str], summary: str) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(name: str) -> Document:
    return {"$ref": f"#/components/messages/{name}"}


def _task(task: str, title: str, fields: Schema, about: str) -> Document:
    """Celery's body is ``[args, kwargs, embed]``; the fields are kwargs."""
    parts = [{"type": "array", "maxItems": 0}, fields, {"type": "object"}]
    names: Schema = {"task": {"const": task}, "id": {"type": "string", "minLength": 1, "maxLength": 255}}
    names |= {"traceparent": {"description": "W3C Trace Context"}, "tracestate": {}} if task != CANCEL else {}
    return {
        "name": task,
        "title": title,
        "summary": about,
        "contentType": JSON,
        "headers": {"type": "object", "properties": names, "required": ["task", "id"]},
        "payload": {"type": "array", "items": parts, "minItems": 3, "maxItems": 3},
    }


def _event(name: str) -> Document:
    about = component_schemas()[name]["description"]
    message: Document = {"name": name, "title": name, "summary": about, "contentType": JSON, "payload": ref(name)}
    if name == _TESTED:
        return message
    return message | {"correlationId": {"location": "$message.payload#/id", "description": "handle each once"}}
