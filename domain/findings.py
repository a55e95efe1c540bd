"""What is wrong with an order or a request, in our words: each finding with the field that it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

#: How many findings of one order are told, and how many in one line.
MOST_FINDINGS, MOST_IN_A_LINE = 50, 5
LONGEST_LINE, LONGEST_NAME = 500, 128

#: Our words for pydantic's findings, by its names for them.
WORDING = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "string_type": "must be a string",
    "string_unicode": "must be text of whole Unicode characters",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
    "dict_type": "must be an object",
    "model_type": "must be an account or an object",
    "tuple_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "literal_error": "must be {expected}",
    "timezone_aware": "must have a time zone, such as the Z of 2026-11-21T20:19:00Z",
    "datetime_type": "must be an RFC 3339 time such as 2026-11-21T20:19:00Z",
    "datetime_parsing": "must be an RFC 3339 time such as 2026-11-21T20:19:00Z",
    "datetime_from_date_parsing": "must be an RFC 3339 time such as 2026-11-21T20:19:00Z",
}

_FIELD = re.compile(r"(?P<path>[A-Za-z_][A-Za-z0-9_]*(?:\.[^.:\s]+)*): (?P<message>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """``path``: names and places, from the outside in. Empty: it is about the whole."""

    path: tuple[str, ...]
    message: str

    @property
    def pointer(self) -> str:
        """The field as a JSON Pointer in a fragment: ``#/fallback_accounts/0/price``."""
        return "".join(["#", *("/" + part.replace("~", "~0").replace("/", "~1") for part in self.path)])

    @property
    def line(self) -> str:
        """Field and message on one line."""
        return f"{'.'.join(self.path)[:LONGEST_NAME]}: {self.message}" if self.path else self.message


def kind_of(value: object) -> str:
    """What kind of JSON value it is, with an article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"


def read_line(line: str) -> Finding:
    """Read ``price: must be greater than 0`` as a finding. A line that names no field is about the whole."""
    found = _FIELD.fullmatch(line)
    return Finding(tuple(found["path"].split(".")), found["message"]) if found else Finding((), line)


def find(error: ValidationError) -> list[Finding]:
    """pydantic's findings, each with its field, without the values."""
    findings = error.errors(include_url=False, include_input=False)
    # The key's default needs a valid order_id: without one it fails too, which says nothing new.
    counted = [found for found in findings if found["type"] != "default_factory_not_called"]
    return [_finding(one, error.title.lower()) for one in counted[:MOST_FINDINGS]]


def explain(error: ValidationError) -> str:
    """The first findings on one line."""
    return "; ".join(finding.line for finding in find(error)[:MOST_IN_A_LINE])[:LONGEST_LINE]


def _finding(given: ErrorDetails, model: str) -> Finding:
    wording = WORDING.get(given["type"])
    message = wording.format(**given.get("ctx", {})) if wording else given["msg"].removeprefix("Value error, ")
    path = tuple(_one_line(str(part)) for part in given["loc"])
    if path:
        return Finding(path, message)
    # Our own validators of whole models name the field in their message.
    return read_line(message) if given["type"] == "value_error" else Finding((), f"{model}: {message}")


def _one_line(name: str) -> str:
    """A field's name, made printable: a producer may send any."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name[:128])
