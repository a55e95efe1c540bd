"""`invoices schema`."""

from __future__ import annotations

import json

import click

TASKS = ("create", "create_many", "cancel")


@click.command("schema")
@click.option("--task", type=click.Choice(TASKS), default="create", show_default=True, help="Whose keyword arguments.")
@click.option("--json", "as_json", is_flag=True, help="On one line.")
def schema_command(task: str, as_json: bool) -> None:
    """Print the JSON Schema of a task's keyword arguments, as the queue `invoices.intake` takes them."""
    from domain.schemas import task_schema

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | task_schema(task)
    click.echo(json.dumps(document, ensure_ascii=False, indent=None if as_json else 2))
