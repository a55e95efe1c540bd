"""`invoices schema`."""

from __future__ import annotations

import json
from typing import Any

import click

TASKS = ("create", "create_many", "cancel")


@click.command("schema")
@click.option("--task", type=click.Choice(TASKS), default="create", show_default=True, help="Whose keyword arguments.")
@click.option("--json", "as_json", is_flag=True, help="On one line.")
def schema_command(task: str, as_json: bool) -> None:
    """Print the JSON Schema of a task's keyword arguments, as the queue `invoices.intake` takes them."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | task_schema(task)
    click.echo(json.dumps(document, ensure_ascii=False, indent=None if as_json else 2))


def task_schema(task: str) -> dict[str, Any]:
    """The JSON Schema of a task's keyword arguments."""
    from domain.order import MAX_ORDERS, Cancellation, Order

    if task == "cancel":
        # What the model says by a validator of its own.
        either = [{"required": ["order_id"]}, {"required": ["idempotency_key"]}]
        return Cancellation.model_json_schema() | {"anyOf": either}
    order = Order.model_json_schema()
    if task == "create":
        return order
    definitions = order.pop("$defs", None)
    orders = {"type": "array", "minItems": 1, "maxItems": MAX_ORDERS, "items": order}
    many = {
        "title": "Orders",
        "type": "object",
        "properties": {"orders": orders},
        "required": ["orders"],
        "additionalProperties": False,
    }
    return many | ({"$defs": definitions} if definitions else {})
