"""What the HTTP interface is asked for besides orders, validated: a model for each body, with the public schema."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from domain.event import FOR_ALL, INVOICE_TYPES, NAMED_ONLY
from domain.findings import Finding, find, kind_of
from domain.money import SCHEMA_MAXIMUM, parse_amount
from domain.order import Text, Time

LONGEST_REASON = 500
LONGEST_URL = 2000
MAX_ACCOUNTS, MAX_TYPES, MAX_HEADERS = 100, 50, 20
MAX_IN_FLIGHT = 1000
MAX_WHOLE = 10**15

EVENT_TYPES = FOR_ALL | INVOICE_TYPES | NAMED_ONLY

Model = TypeVar("Model", bound=BaseModel)


class RequestError(ValueError):
    """The body can't be used."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(finding.line for finding in findings[:5])[:LONGEST_REASON])
        self.findings = findings


def _amount(value: object) -> Decimal | None:
    return None if value is None else parse_amount(value)


_AMOUNT_TEXT = {"type": "string", "pattern": r"^[0-9]{1,30}(\.[0-9]{1,30})?$"}
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(ge=0),
    WithJsonSchema(
        {
            "anyOf": [_AMOUNT_TEXT, {"type": "number", "minimum": 0, "maximum": SCHEMA_MAXIMUM}],
            "description": "exact decimal",
        }
    ),
]
Name = Annotated[Text, Field(min_length=1, max_length=255)]

_CONFIG = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


#: In JSON Schema: an amount goes only with a status that means that money was paid.
_AMOUNT_OF_MONEY: JsonDict = {
    "if": {"properties": {"status": {"enum": ["failed", "cancelled", "expired"]}}},
    "then": {"properties": {"amount": {"type": "null"}}},
}


class Reason(BaseModel):
    """Why something is done: kept with who did it."""

    model_config = _CONFIG

    reason: Text = Field(min_length=1, max_length=LONGEST_REASON)


class MarkRequest(Reason):
    """What became of an invoice, as a person says."""

    model_config = _CONFIG | ConfigDict(json_schema_extra=_AMOUNT_OF_MONEY)

    status: Literal["paid", "failed", "refunded", "cancelled", "expired"]
    amount: Amount | None = Field(default=None, description="what was paid, in the currency of the payment")

    @model_validator(mode="after")
    def _of_money(self) -> MarkRequest:
        if self.amount is not None and self.status not in {"paid", "refunded"}:
            raise ValueError(f"amount: nothing is paid where an invoice is {self.status}")
        return self


def _whole(value: object) -> object:
    """147.0 is a whole number in JSON."""
    if isinstance(value, Decimal) and value.is_finite() and abs(value) < MAX_WHOLE and value == int(value):
        return int(value)
    return value


InFlight = Annotated[int, Field(strict=True, ge=1, le=MAX_IN_FLIGHT), BeforeValidator(_whole)]


class EndpointRequest(BaseModel):
    """A receiver of webhooks to be added."""

    model_config = _CONFIG

    url: Text = Field(min_length=1, max_length=LONGEST_URL)
    events: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MAX_TYPES)
    headers: dict[str, Text] = Field(default_factory=dict, max_length=MAX_HEADERS)
    max_in_flight: InFlight = 100
    accounts: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MAX_ACCOUNTS)
    reason: Text | None = Field(default=None, min_length=1, max_length=LONGEST_REASON)


_CHANGEABLE = ("url", "events", "headers", "max_in_flight", "accounts")


def _of_a_change(schema: JsonDict) -> None:
    """In JSON Schema: something is to change, and what is left out has no default, since it stays."""
    schema["anyOf"] = [{"required": [name]} for name in _CHANGEABLE]
    for field in cast("JsonDict", schema["properties"]).values():
        cast("JsonDict", field).pop("default", None)


class EndpointChange(BaseModel):
    """What is to be different at a receiver of webhooks; what is left out stays. Events, headers and accounts that are
    null are as for a new one."""

    model_config = _CONFIG | ConfigDict(json_schema_extra=_of_a_change)

    url: Text = Field(default="", min_length=1, max_length=LONGEST_URL)
    events: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MAX_TYPES)
    headers: dict[str, Text] | None = Field(default=None, max_length=MAX_HEADERS, description="instead of all it had")
    max_in_flight: InFlight = 100
    accounts: tuple[Name, ...] | None = Field(default=None, min_length=1, max_length=MAX_ACCOUNTS)
    reason: Text | None = Field(default=None, min_length=1, max_length=LONGEST_REASON)

    @model_validator(mode="after")
    def _any(self) -> EndpointChange:
        if self.model_fields_set.isdisjoint(_CHANGEABLE):
            raise ValueError(f"url: give it, or another of {', '.join(_CHANGEABLE)}")
        return self


_AMONG_EVENTS = ("types", "since", "until", "missed_only", "newest_only")


class ReplayRequest(BaseModel):
    """Events to be sent once more: one by its id, or an endpoint's by type and time."""

    model_config = _CONFIG

    endpoint: Name
    event: Name | None = None
    types: tuple[Name, ...] = Field(default=(), max_length=MAX_TYPES)
    since: Time | None = None
    until: Time | None = None
    dead_only: bool = Field(default=False, strict=True, description="only dead letters")
    missed_only: bool = Field(default=False, strict=True, description="only what the endpoint does not have")
    newest_only: bool = Field(
        default=False,
        strict=True,
        description="of each invoice only the newest; older ones that still wait become dead letters",
    )
    reason: Text | None = Field(default=None, min_length=1, max_length=LONGEST_REASON)

    @model_validator(mode="after")
    def _one_way(self) -> ReplayRequest:
        if self.event is not None:
            among = next((name for name in _AMONG_EVENTS if getattr(self, name)), None)
            if among is not None:
                raise ValueError(f"{among}: chooses among an endpoint's events, and here is one event's id")
        unknown = sorted(set(self.types) - EVENT_TYPES)
        if unknown:
            raise ValueError(f"types: there is no {', '.join(unknown)}; there are {', '.join(sorted(EVENT_TYPES))}")
        if _are_reversed(self.since, self.until):
            raise ValueError("until: must be later than since")
        return self


def _are_reversed(since: datetime | None, until: datetime | None) -> bool:
    return since is not None and until is not None and until <= since


def parse_request(model: type[Model], fields: object) -> Model:
    """Validate a body. Raises RequestError."""
    if not isinstance(fields, dict):
        raise RequestError([Finding((), f"the body must be an object, not {kind_of(fields)}")])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RequestError(find(error)) from None
