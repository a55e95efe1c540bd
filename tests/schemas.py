"""Checks against the published schemas, stricter than they are: what no schema names is a fault here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from domain.schemas import component_schemas

DRAFTS = (Draft7Validator, Draft202012Validator)


def closed(schema: Any) -> Any:
    """The schema with every object that names its fields limited to them: an open one would let drift pass."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), Mapping):
        made.setdefault("additionalProperties", False)
    return made


def check(document: Any, schema: Mapping[str, Any], components: Mapping[str, Any] | None = None) -> None:
    """Raises jsonschema.ValidationError for a document that is not, in either draft, exactly what the schema says."""
    found = component_schemas() if components is None else components
    whole = closed({**schema, "components": {"schemas": found}})
    for draft in DRAFTS:
        draft.check_schema(whole)
        draft(whole, format_checker=FormatChecker()).validate(document)
