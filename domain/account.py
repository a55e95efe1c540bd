"""A provider account and its policy, as the operator configures it."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from domain.money import MAX_DECIMALS, parse_amount

#: A year. Nobody has longer to pay.
MAX_LIFETIME_MINUTES = 525_600

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _minutes(value: object) -> Decimal:
    return parse_amount(str(value) if isinstance(value, float) else value)


Minutes = Annotated[Decimal, BeforeValidator(_minutes)]
Days = Minutes


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


#: The lanes of an account with a budget have names such as NAME:watched, and a lane's column holds 64 characters.
MAX_BUDGETED_NAME = 56


class VerifyNames(BaseModel):
    """The path and the field names of Nebulox's look-up, which no stored document shows: an account may set them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    path: str = Field(default="/api/invoice/verify", pattern=r"^/[A-Za-z0-9/_.~-]{1,200}$")
    api_key: str = Field(default="apiKey", min_length=1, max_length=64)
    tracking_code: str = Field(default="trackingCode", min_length=1, max_length=64)


class KeyMissing(ValueError):  # noqa: N818 - reads as what happened
    """A key is not where the settings say. One line that names the setting."""


class MissingKey(SecretStr):
    """Stands for a key that could not be read: using it raises the reason. Commands that only read rows need no key."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def get_secret_value(self) -> str:
        """Raises KeyMissing."""
        raise KeyMissing(self.why)


class Account(BaseModel):
    """One set of credentials at one provider. ``repr`` and dumps never show its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=f"^{NAME.pattern}$")
    provider: str
    base_url: str
    api_key: SecretStr = Field(min_length=1)
    lifetime_minutes: Minutes = Field(default=Decimal(60), gt=0, le=MAX_LIFETIME_MINUTES)
    timeout_seconds: float = Field(default=10, gt=0, le=120)  #: for a whole call, connecting and reading included
    max_in_flight: int = Field(default=100, ge=1, le=10_000)  #: calls at a time, per worker process
    rate_per_second: float | None = Field(default=None, gt=0, le=100_000)  #: calls, over all workers
    #: Calls that look invoices up, over all workers; they count for ``rate_per_second`` too.
    look_ups_per_second: float | None = Field(default=None, ge=0.001, le=100_000)
    on_doubt: Literal["retry", "hold"] = "retry"  #: what happens after a create whose answer was lost
    poll_seconds: float = Field(default=30, gt=0, le=86_400)
    hold_refused_minutes: Minutes = Field(default=Decimal(10), ge=0, le=525_600)
    profile: str | None = None  #: the provider's own variants, e.g. 0xhost ``server`` (default) or ``order``
    currencies: tuple[str, ...] | None = None  #: overrides the documented list where the documents disagree
    pay_currencies: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    previous_api_key: SecretStr | None = Field(default=None, min_length=1)  #: its callbacks still verify
    callback_grace_minutes: Minutes = Field(default=Decimal(5), ge=0, le=525_600)
    underpaid_tolerance_percent: Minutes = Field(default=Decimal(0), ge=0, le=50)
    late_payment: Literal["settle", "hold"] = "settle"  #: hold: a person decides about a payment after the expiry
    refund_watch_days: Days = Field(default=Decimal(30), ge=0, le=3650)  #: 0: paid invoices are not looked up again
    verify: VerifyNames = Field(default_factory=VerifyNames)
    price_decimals: int = Field(default=0, ge=0, le=MAX_DECIMALS)  #: allowed in a price even if its currency has fewer

    def missing_key(self) -> str | None:
        """Why one of its keys could not be read; None: all could."""
        keys = (self.api_key, self.previous_api_key)
        return next((key.why for key in keys if isinstance(key, MissingKey)), None)

    def known_keys(self) -> tuple[str, ...]:
        """All of its keys that could be read."""
        keys = (self.api_key, self.previous_api_key)
        return tuple(key.get_secret_value() for key in keys if key is not None and not isinstance(key, MissingKey))

    def is_called_in_the_clear(self) -> bool:
        """Whether the key leaves this machine by plain HTTP, so that anybody on the way to the provider can read it."""
        parts = urlsplit(self.base_url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")

    def callback_keys(self) -> tuple[str, ...]:
        """The keys that callbacks may be signed with: the current one and the previous one."""
        keys = (self.api_key, self.previous_api_key)
        return tuple(key.get_secret_value() for key in keys if key is not None)

    @field_validator("api_key", "previous_api_key")
    @classmethod
    def _no_blank_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not isinstance(value, MissingKey) and not value.get_secret_value().strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("look_ups_per_second")
    @classmethod
    def _leaves_room_for_creates(cls, value: float | None, info: ValidationInfo) -> float | None:
        name = info.data.get("name", "")
        if value is not None and len(name) > MAX_BUDGETED_NAME:
            raise ValueError(f"takes account names of at most {MAX_BUDGETED_NAME} characters, and this has {len(name)}")
        rate: float | None = info.data.get("rate_per_second")
        if value is not None and rate is not None and value >= rate:
            raise ValueError(f"must be less than rate_per_second ({rate:g}), which creates are made by too")
        return value

    @field_validator("base_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError("must be an http or https address without user, query or fragment")
        return value.rstrip("/")
