"""Reads the setting ``INVOICES_ACCOUNTS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from pydantic import SecretStr, ValidationError

from config.secret_files import MAX_KEY_BYTES, find_file, read_secret
from domain.account import Account, MissingKey
from domain.exact_json import JsonError, NameTwice, read_json, read_strict_json
from domain.findings import explain

#: Fields that hold a key, or say where it is.
KEYS = ("api_key", "previous_api_key")


def find_providers() -> tuple[str, ...]:
    """The providers' names: each has a folder under ``workers/providers``. None of their code is imported."""
    package = find_spec("workers.providers")
    places = package.submodule_search_locations if package is not None else None
    return tuple(sorted(module.name for module in iter_modules(places or ()) if module.ispkg))


#: A test compares these with the registry.
PROVIDERS = find_providers()


#: Settings that are planned for providers that are not here yet. If they were accepted and ignored, they would seem to
#: protect something.
OTHER_SECRETS = {
    "callback_secret": "callbacks of every provider here are signed with its api_key (or previous_api_key)",
    "callback_key": "no provider here signs some of its callbacks with another key than its api_key",
}


def read_accounts(value: object, environ: Mapping[str, str]) -> Mapping[str, Account]:
    """Accounts by name, from a JSON text or a TOML table. Raises ValueError that names the field."""
    if isinstance(value, str):
        try:
            value = read_strict_json(value.encode(errors="surrogateescape"))
        except JsonError as error:  # the parser's own words are left out: they may show a character of a key
            why = str(error) if isinstance(error, NameTwice) else "is not JSON"
            raise ValueError(f'{why}: must be an object such as {{"shop": {{"provider": "nebulox", …}}}}') from None
    if not isinstance(value, dict) or not value:
        raise ValueError('must be an object of accounts by name, such as {"shop": {"provider": "nebulox", …}}')
    return {name: _account(name, fields, environ) for name, fields in value.items()}


def _account(name: str, fields: object, environ: Mapping[str, str]) -> Account:
    if not isinstance(fields, dict):
        raise ValueError(f"{name}: must be an object with provider, base_url and api_key")
    if "name" in fields:
        raise ValueError(f"{name}.name: unknown field (the account's name is its key)")
    known = set(Account.model_fields) - {"name"}
    for field in fields:
        if field in OTHER_SECRETS:
            raise ValueError(f"{name}.{field}: leave it out, {OTHER_SECRETS[field]}")
        if field not in known:
            near = get_close_matches(field, known, n=1)
            raise ValueError(f"{name}.{field}: unknown field" + (f" (did you mean {near[0]}?)" if near else ""))
    if fields.get("provider") not in PROVIDERS:
        raise ValueError(f"{name}.provider: must be {' or '.join(PROVIDERS)}")
    fields = {field: content for field, content in fields.items() if content is not None}
    for key in KEYS:
        if isinstance(fields.get(key), str):
            fields[key] = _find_key(f"{name}.{key}", fields[key], environ)
    try:
        return Account(name=name, **fields)
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}.{part}" for part in explain(error).split("; "))) from None


def _find_key(setting: str, text: str, environ: Mapping[str, str]) -> str | MissingKey:
    """The key, or a MissingKey if it can't be read: not every process that reads the settings needs it."""
    try:
        return _resolve_key(setting, text, environ)
    except ValueError as error:
        return MissingKey(str(error))


def _resolve_key(setting: str, text: str, environ: Mapping[str, str]) -> str:
    """The key itself, also where ``env:NAME`` or ``file:/path`` say where it is."""
    kind, _, place = text.partition(":")
    if kind == "env":
        if not environ.get(place):
            raise ValueError(f"{setting}: the environment variable {place} is not set")
        return environ[place]
    if kind != "file":
        return text
    try:
        return read_secret(_find_key_file(place, environ), MAX_KEY_BYTES)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def _find_key_file(place: str, environ: Mapping[str, str]) -> Path:
    """As for other secrets; one that is relative to the working folder is taken too."""
    return find_file(place, environ) if place.startswith(("/", "$")) else Path(place)


def find_key_files(value: object, environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that the accounts' keys stand in."""
    accounts = read_json(value) if isinstance(value, str) else value
    for fields in accounts.values() if isinstance(accounts, dict) else ():
        for key in KEYS:
            text = fields.get(key) if isinstance(fields, dict) else None
            if isinstance(text, str) and text.startswith("file:"):
                with suppress(ValueError):  # a key that can't be read is told where it is needed
                    yield _find_key_file(text.removeprefix("file:"), environ)


def sandbox_accounts(port: int) -> Mapping[str, Account]:
    """The default: an account at each sandbox provider, with the provider's name."""
    return {
        name: Account(
            name=name,
            provider=name,
            base_url=f"http://127.0.0.1:{port}/{name}",
            api_key=SecretStr(f"sandbox-{name}-key"),
        )
        for name in PROVIDERS
    }
