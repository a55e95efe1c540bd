"""JSON Schemas of what comes in and goes out, made from the code that validates the one and writes the other.

Schemas of answers are open: answers may gain fields, and readers must ignore those. All use only what JSON Schema
2020-12 (on which OpenAPI builds) and draft 7 (AsyncAPI) have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.against import CONTRADICTION
from domain.drift import KINDS as DRIFT_KINDS
from domain.event import FIELDS, INVOICE_TYPES, ORDER_REJECTED, PROVIDER_DRIFT, RESTORED, TEST_TYPE, Field
from domain.order import MAX_ORDERS, Cancellation, Order
from domain.refused_order import KINDS
from domain.status import Status
from domain.trace import MAX_STATE

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
STATUS: Schema = {"type": "string", "enum": [str(status) for status in Status]}
#: For what ``new_id`` makes.
ID_PATTERN = "^%s_[0-9a-f]{32}$"
#: The attributes for the trace that the order came with, if it named one: W3C Trace Context.
TRACE: Mapping[str, Schema] = {
    "traceparent": {
        "type": "string",
        "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        "description": "of the trace that the order belongs to, where there is one",
    },
    "tracestate": {"type": "string", "maxLength": MAX_STATE, "description": "what goes with it"},
}
COMPONENT = "#/components/schemas/{model}"


def ref(name: str) -> Schema:
    """A reference to a schema of ``component_schemas``."""
    return {"$ref": COMPONENT.format(model=name)}


def or_null(schema: Mapping[str, object]) -> Schema:
    """The same schema, or null."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


def record(properties: Mapping[str, Mapping[str, object]], about: str = "", *, optional: Iterable[str] = ()) -> Schema:
    """An object with these fields, all of them required but the optional ones."""
    left_out = set(optional)
    described = {"description": about} if about else {}
    required = [name for name in properties if name not in left_out]
    return {"type": "object", **described, "properties": dict(properties), "required": required}


def model_schemas(*models: type[BaseModel]) -> dict[str, Schema]:
    """By name: the schemas of these models, and of the models in them."""
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=COMPONENT)
    definitions: dict[str, Schema] = found["$defs"]
    if "Cancellation" in definitions:
        definitions["Cancellation"] |= _NAMES_ONE
    return definitions


def task_schema(task: str) -> Schema:
    """The JSON Schema of a Celery task's keyword arguments: ``create``, ``create_many`` or ``cancel``."""
    if task == "cancel":
        return Cancellation.model_json_schema() | _NAMES_ONE
    order = Order.model_json_schema()
    if task == "create":
        return order
    definitions = order.pop("$defs", None)
    return many_orders(order) | ({"$defs": definitions} if definitions else {})


def many_orders(order: Mapping[str, object]) -> Schema:
    """What ``create_many`` takes. ``order``: the schema of an order."""
    orders = {"type": "array", "minItems": 1, "maxItems": MAX_ORDERS, "items": dict(order)}
    many = {"title": "Orders", "type": "object", "properties": {"orders": orders}, "required": ["orders"]}
    return many | {"additionalProperties": False}


def component_schemas() -> dict[str, Schema]:
    """By name, the schemas in both documents: orders and cancellations, an invoice, each event."""
    return {**model_schemas(Order, Cancellation), "Invoice": invoice_schema(), **event_schemas()}


def invoice_schema() -> Schema:
    """An invoice as it is told, everywhere."""
    return record(_invoice_properties(), "An invoice. Amounts are decimals in strings, with every digit.")


def event_schemas() -> dict[str, Schema]:
    """By name: each form of an event, and ``Event``: any of those that are in the log and the stream."""
    previous = {"previous_status": {**STATUS, "description": "where it stood before"}}
    changed = _invoice_properties() | previous
    against = {"kind": {**TEXT, "description": "what it is about"}, "words": {**TEXT, "description": "what was said"}}
    changes = sorted(INVOICE_TYPES - {CONTRADICTION})
    logged = {
        "InvoiceEvent": _event(changes, record(changed), "An invoice has changed.", sequenced=True),
        "ContradictionEvent": _event(
            [CONTRADICTION],
            record(changed | against, optional=against),
            "Something contradicts what is known of an invoice; its status stays.",
            sequenced=True,
        ),
        "OrderRejectedEvent": _event([ORDER_REJECTED], _rejected(), "An order that came by message was refused."),
        "ProviderDriftEvent": _event([PROVIDER_DRIFT], _drift(), "A provider's answers have what they never had."),
        "RestoredEvent": _event([RESTORED], _restored(), "The database was restored from a backup."),
    }
    tested = record({"endpoint": TEXT})
    return {
        **logged,
        "TestEvent": _event([TEST_TYPE], tested, "Sent by `invoices endpoints test`, only as a webhook."),
        "Event": {"oneOf": [ref(name) for name in logged]},
    }


#: Checked by the model's own validator, so the schema has to say it.
_NAMES_ONE: Schema = {"anyOf": [{"required": ["order_id"]}, {"required": ["idempotency_key"]}]}


def _invoice_properties() -> dict[str, Schema]:
    return {field.name: _told(field) for field in FIELDS}


def _told(field: Field) -> Schema:
    schema = dict(field.kind.schema) | ({"enum": list(field.choices)} if field.choices else {})
    return (or_null(schema) if field.may_be_null else schema) | {"description": field.about}


def _event(types: Sequence[str], data: Schema, about: str, *, sequenced: bool = False) -> Schema:
    """A CloudEvents 1.0 object that is also a Standard Webhooks payload."""
    head: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "pattern": ID_PATTERN % "evt", "description": "the same on every delivery"},
        "source": {"type": "string", "pattern": "^/invoices(/.+)?$"},
        "type": {"enum": list(types)},
        "subject": {**TEXT, "description": "the invoice's id" if sequenced else "what it is about"},
        "time": TIME,
        "timestamp": {**TIME, "description": "the same as `time`"},
        "sequence": {
            "type": "string",
            "pattern": "^[0-9]{12,}$",
            "description": "of the invoice: 1 for its first event, one more for each; what is not higher is a repeat",
        },
        "datacontenttype": {"const": "application/json"},
        **TRACE,
        "data": data,
    }
    if not sequenced:
        del head["sequence"]
        return record({name: one for name, one in head.items() if name not in TRACE}, about, optional=("subject",))
    return record(head, about, optional=TRACE)


def _rejected() -> Schema:
    ids = {"account": TEXT, "order_id": or_null(TEXT), "idempotency_key": or_null(TEXT)}
    return record({**ids, "kind": {"enum": list(KINDS)}, "reason": TEXT, "existing_invoice": or_null(TEXT)})


def _drift() -> Schema:
    maybe = {name: or_null(TEXT) for name in ("call", "field", "value", "invoice")}
    about = {"account": TEXT, "provider": TEXT, "drift": WHOLE, "kind": {"enum": list(DRIFT_KINDS)}}
    return record({**about, **maybe, "text": TEXT, "since": TIME})


def _restored() -> Schema:
    return record({"epoch": WHOLE, "at": TIME, "known_until": or_null(TIME), "advice": TEXT})
