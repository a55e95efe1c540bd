"""The settings as they may be shown to people: no secret in any of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from config.knobs import KNOBS, PASSWORDS, PREFIX
from config.settings import Settings
from config.urls import redact_url
from config.web import MetricsPort
from domain.masking import HIDDEN, mask
from domain.money import format_amount
from domain.told_setting import Origin, ToldSetting

#: Whose values are never shown.
SECRET = frozenset({"secret_key", "oidc_client_secret", *(f"{part}_password" for part in PASSWORDS)})


def tell_settings(settings: Settings) -> list[ToldSetting]:
    """Every one, in the order of the documents. Whatever a value holds, no known secret is left in it."""
    secrets = [secret for secret in settings.secrets() if secret]
    return [_hidden(one, secrets) for one in _told(settings)]


def _told(settings: Settings) -> Iterator[ToldSetting]:
    for name in KNOBS:
        origin = _origin(settings, name)
        yield ToldSetting(f"{PREFIX}{name.upper()}", _value(settings, name), origin, name in SECRET)


def _origin(settings: Settings, name: str) -> Origin:
    if name in settings.given_in:
        return "environment" if settings.given_in[name] == "environment" else "file"
    return "default" if KNOBS[name].default not in (None, "") else "decided"


def _value(settings: Settings, name: str) -> str | None:
    if name == "secret_key":
        given = len(settings.given_secret_keys)
        return ", ".join([HIDDEN] * given) if given else f"{HIDDEN} ({settings.home}/secret.key)"
    if name == "accounts":
        return ", ".join(sorted(settings.accounts))
    if name in SECRET:
        return HIDDEN if name in settings.given_in else None
    value: object = getattr(settings, name)
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if isinstance(value, MetricsPort):
        return f"{value.number}{'+' if value.or_next else ''}"
    if isinstance(value, Decimal):
        return format_amount(value)
    if isinstance(value, Mapping | tuple):
        return ", ".join(map(str, value))
    return redact_url(str(value))


def _hidden(told: ToldSetting, secrets: list[str]) -> ToldSetting:
    value = None if told.value is None else mask(told.value, secrets)
    return ToldSetting(told.name, value, told.origin, told.is_secret)
