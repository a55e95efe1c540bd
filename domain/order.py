"""An order as a producer sends it, validated: one model for every way in, with the public JSON Schema."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from domain.account import MAX_LIFETIME_MINUTES, Account
from domain.currency import too_fine
from domain.exact_json import write_json
from domain.findings import Finding, explain, find, kind_of, read_line
from domain.lengths import MAX_ACCOUNT, MAX_KEY, MAX_ORDER_ID
from domain.money import SCHEMA_MAXIMUM, parse_amount, plain_value
from domain.visible import MEANINGFUL, why_meaningless

MAX_ORDERS = 500
MAX_METADATA_BYTES = 4096
MAX_FALLBACKS = 5
MAX_NESTING = 100  #: levels of a JSON object: a later reader must not run out of stack


Model = TypeVar("Model", bound=BaseModel)


class OrderError(ValueError):
    """The order can't be taken. One line that names the field: ``price: must be greater than 0``."""

    def __init__(self, line: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(line)
        self.findings = tuple(findings) or (read_line(line),)


def _tagged(value: object, kind: str) -> object:
    """The value in a tag: kombu writes a Python producer's Decimal and datetime as ``{"__type__": …, "__value__":
    …}``."""
    if isinstance(value, dict) and set(value) == {"__type__", "__value__"} and value["__type__"] == kind:
        return value["__value__"]
    return value


def _price(value: object) -> Decimal | None:
    value = _tagged(value, "decimal")
    return None if value is None else parse_amount(value)


def _time(value: object) -> object:
    value = _tagged(value, "datetime")
    if value is not None and not isinstance(value, (str, datetime)):
        raise ValueError("must be an RFC 3339 time such as 2026-11-21T20:19:00Z")
    if isinstance(value, str) and value[4:5] != "-":  # pydantic would take "1764105348" for epoch seconds
        raise ValueError("must be an RFC 3339 time such as 2026-11-21T20:19:00Z")
    return value


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999 in UTC") from None


def _printable(value: str) -> str:
    hidden = why_meaningless(value)
    if hidden is not None:
        raise ValueError(f"must not contain {hidden}")
    return value


def _object(value: dict[str, object]) -> dict[str, object]:
    if not value:
        return value
    if _nested_deeper(value, MAX_NESTING):
        raise ValueError(f"must not be nested deeper than {MAX_NESTING} levels")
    try:
        size = len(write_json(value).encode())
    except (TypeError, UnicodeEncodeError):
        raise ValueError("must be JSON: texts of whole Unicode characters, numbers, objects, lists") from None
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return value


def _nested_deeper(value: Collection[object], levels: int) -> bool:
    """Whether an object or a list has more levels than these."""
    parts = value.values() if isinstance(value, dict) else value
    inner = [part for part in parts if isinstance(part, (dict, list))]
    return levels == 0 or any(_nested_deeper(part, levels - 1) for part in inner)


def _decimal_schema(description: str, **limits: object) -> WithJsonSchema:
    text = {"type": "string", "pattern": r"^(?=[^eE]*[1-9])[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$"}
    return WithJsonSchema({"anyOf": [text, {"type": "number", **limits}], "description": description})


def _nullable(schema: JsonDict) -> None:
    """Allow null in a field's schema: it means "not given"."""
    described: JsonDict = {name: schema.pop(name) for name in ("title", "description") if name in schema}
    kept = dict(schema)
    schema.clear()
    schema.update(described, anyOf=[kept, {"type": "null"}])


class _Meaningful:
    """Puts into the schema what ``_printable`` checks."""

    @staticmethod
    def __get_pydantic_json_schema__(core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | {"pattern": MEANINGFUL}


Text = Annotated[str, Field(strict=True), AfterValidator(_printable), _Meaningful()]
Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    Field(gt=0),
    _decimal_schema("exact decimal, > 0", exclusiveMinimum=0, maximum=SCHEMA_MAXIMUM),
]
Minutes = Annotated[
    Decimal,
    BeforeValidator(_price),
    Field(gt=0, le=MAX_LIFETIME_MINUTES),
    _decimal_schema("minutes, > 0", exclusiveMinimum=0, maximum=MAX_LIFETIME_MINUTES),
]
Time = Annotated[AwareDatetime, BeforeValidator(_time), AfterValidator(_utc)]
JsonObject = Annotated[dict[str, object], Field(strict=True), AfterValidator(_object)]


#: In the words of JSON Schema; a null price is none.
PRICE_NEEDS_CURRENCY: JsonDict = {
    "if": {"required": ["price"], "properties": {"price": {"not": {"type": "null"}}}},
    "then": {"required": ["currency"], "properties": {"currency": {"type": "string"}}},
}


class Fallback(BaseModel):
    """Another account to try, and what it is asked for instead; what is left out is as the order says."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Fallback", hide_input_in_errors=True)

    account: Text = Field(min_length=1, max_length=MAX_ACCOUNT, description="a configured account")
    price: Price | None = Field(default=None)
    currency: Text | None = Field(default=None, min_length=1, max_length=16, description="e.g. EUR")
    params: JsonObject | None = Field(default=None, description="the provider's own fields; ≤ 4 KiB")

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, data: object) -> object:
        """An account's name alone will do. Currencies are kept in upper case."""
        if isinstance(data, str):
            return {"account": data}
        return _upper(data, "currency")

    def content(self) -> dict[str, object]:
        """Its fields, the price by value."""
        return {**self.__dict__, "price": None if self.price is None else plain_value(self.price)}


def _upper(data: object, *names: str) -> object:
    """The fields without nulls, which mean "not given", and with these texts in upper case."""
    if not isinstance(data, dict):
        return data
    given = {name: value for name, value in data.items() if value is not None}
    for name in names:
        if isinstance(given.get(name), str):
            given[name] = given[name].strip().upper()
    return given


def _fallbacks_schema(schema: JsonDict) -> None:
    """An entry may be an account's name too: its own validator takes that, which the schema has to say."""
    name: JsonDict = {"type": "string", "minLength": 1, "maxLength": MAX_ACCOUNT}
    choices = schema["anyOf"]
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, dict) and one.get("type") == "array":
            one["items"] = {"anyOf": [name, one["items"]]}


class Order(BaseModel):
    """One order, as ``invoices.create`` takes it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, title="Order", hide_input_in_errors=True, json_schema_extra=PRICE_NEEDS_CURRENCY
    )

    account: Text = Field(min_length=1, max_length=MAX_ACCOUNT, description="a configured account")
    order_id: Text = Field(min_length=1, max_length=MAX_ORDER_ID, description="the order service's own id")
    idempotency_key: Text = Field(
        default_factory=lambda valid: valid.get("order_id", ""),
        min_length=1,
        max_length=MAX_KEY,
        description="unique per account; default: order_id",
        json_schema_extra=_nullable,
    )
    price: Price | None = Field(default=None)
    currency: Text | None = Field(default=None, min_length=1, max_length=16, description="e.g. EUR")
    pay_currency: Text | None = Field(default=None, min_length=1, max_length=16, description="e.g. BTC")
    network: Text | None = Field(default=None, min_length=1, max_length=64, description="e.g. Bitcoin")
    lifetime_minutes: Minutes | None = Field(
        default=None, description="only where the provider gives no expiry of its own"
    )
    fallback_accounts: tuple[Fallback, ...] | None = Field(
        default=None,
        max_length=MAX_FALLBACKS,
        description="accounts tried in turn when one refused the order or could not be reached",
        json_schema_extra=_fallbacks_schema,
    )
    create_before: Time | None = Field(default=None, description="an order still queued then fails as too late")
    params: JsonObject = Field(
        default_factory=dict, description="the provider's own fields; ≤ 4 KiB", json_schema_extra=_nullable
    )
    metadata: JsonObject = Field(
        default_factory=dict, description="returned untouched in every event; ≤ 4 KiB", json_schema_extra=_nullable
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: object) -> object:
        """Null means "not given". Currencies are kept in upper case."""
        return _upper(data, "currency", "pay_currency")

    @model_validator(mode="after")
    def _consistent(self) -> Order:
        if self.price is not None and self.currency is None:
            raise ValueError("currency: is required with a price")
        named = {self.account}
        for place, other in enumerate(self.fallback_accounts or ()):
            if other.account in named:  # answers of the two entries could not be told apart
                raise ValueError(f"fallback_accounts.{place}: the account {other.account!r} is named twice")
            if other.price is not None and other.currency is None and self.currency is None:
                raise ValueError(f"fallback_accounts.{place}.currency: is required with a price")
            named.add(other.account)
        return self

    @property
    def trace(self) -> str | None:
        """The trace that it came with (``domain/trace.py``), which is no part of its content."""
        return (self.__pydantic_private__ or {}).get("trace")

    def traced(self, trace: str | None) -> Order:
        """The same order, as part of this trace."""
        if trace is None:
            return self
        copy = self.model_copy()
        # No PrivateAttr: pydantic would set it up for each order, and few have a trace.
        object.__setattr__(copy, "__pydantic_private__", {"trace": trace})
        return copy

    def digest(self) -> str:
        """Two orders have the same content if this is equal: canonical fields, price by value, no ``create_before``."""
        content = {**self.__dict__, "fallback_accounts": None}
        del content["create_before"], content["idempotency_key"]
        for name in ("price", "lifetime_minutes"):
            if content[name] is not None:
                content[name] = plain_value(content[name])
        if self.fallback_accounts is not None:
            content["fallback_accounts"] = [other.content() for other in self.fallback_accounts]
        return hashlib.sha256(write_json(content, sort_keys=True).encode()).hexdigest()


def check_price(order: Order, account: Account) -> None:
    """Raise OrderError for a price with more decimals than its currency has."""
    if order.price is None or order.currency is None:
        return
    most = too_fine(order.price, order.currency, account.price_decimals)
    if most is not None:
        taken = "no decimals" if most == 0 else f"at most {most} decimals"
        raise OrderError(f"price: {order.currency} takes {taken} (more by the account's price_decimals)")


class Cancellation(BaseModel):
    """What ``invoices.cancel`` takes: the account, the order or its key, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Cancellation", hide_input_in_errors=True)

    account: Text = Field(min_length=1, max_length=MAX_ACCOUNT)
    order_id: Text | None = Field(default=None, min_length=1, max_length=MAX_ORDER_ID)
    idempotency_key: Text | None = Field(default=None, min_length=1, max_length=MAX_KEY)
    reason: Text = Field(default="cancelled by the shop", min_length=1, max_length=500)

    @model_validator(mode="after")
    def _names_one(self) -> Cancellation:
        if self.order_id is None and self.idempotency_key is None:
            raise ValueError("order_id: give order_id or idempotency_key")
        return self


def parse_order(fields: object) -> Order:
    """Validate one order's fields. Raises OrderError."""
    return _parse(Order, fields)


def parse_cancellation(fields: object) -> Cancellation:
    """Validate a cancellation. Raises OrderError."""
    return _parse(Cancellation, fields)


def parse_orders(fields: object) -> Sequence[object]:
    """The ``orders`` of a create_many; each is still to be validated. Raises OrderError."""
    if not isinstance(fields, dict) or set(fields) != {"orders"}:
        raise OrderError("orders: invoices.create_many takes exactly one field, orders")
    orders = fields["orders"]
    if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_ORDERS:
        raise OrderError(f"orders: must be a list of 1 to {MAX_ORDERS} orders")
    return orders


def _parse(model: type[Model], fields: object) -> Model:
    if not isinstance(fields, dict):
        line = f"{model.__name__.lower()}: must be an object, not {kind_of(fields)}"
        raise OrderError(line, [Finding((), line)])
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise OrderError(explain(error), find(error)) from None
