"""Every setting, validated once. The environment wins over the TOML file that ``INVOICES_CONFIG`` names."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config import kinds
from config.accounts import find_key_files, sandbox_accounts
from config.home import ANOTHER_HOME, default_home
from config.knobs import FILE_SUFFIX, KNOBS, NAMES, PASSWORDS, PLAIN, PREFIX
from config.secret_files import MAX_SETTING_BYTES, find_file, read_regular, read_secret
from config.secret_key import keep_key
from config.urls import embedded_socket, hide_address, passwords_of, redis_url_of, with_password
from config.web import MetricsPort, is_loopback, is_loopback_url
from domain.account import Account

MAX_LINE = 1000
MAX_NAME = 300


class SettingsError(Exception):
    """A wrong setting. One line that names it and says what is allowed; never the value of a secret."""

    def __init__(self, line: str) -> None:
        # It quotes names and paths, which may hold anything.
        super().__init__("".join(c if c.isprintable() else "?" for c in line[:MAX_LINE]))


class Settings(BaseModel):
    """What this process was told, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path  #: absolute; the embedded default's files
    database_url: str = Field(repr=False)  #: ``sqlite+pysqlite:///…`` or ``postgresql+psycopg://…``
    broker_url: str = Field(repr=False)  #: for kombu
    redis_url: str = Field(repr=False)  #: for redis-py
    embedded_broker: bool  #: no broker was named: ours, under ``home``
    embedded_database: bool  #: no database was named: SQLite under ``home``
    accounts: Mapping[str, Account]  #: by name
    given_secret_keys: tuple[SecretStr, ...]  #: empty: made under ``home``, see ``secret_keys``
    webhook_allow: tuple[str, ...]  #: host, host:port or CIDR
    stream: str
    stream_maxlen: int
    monitor_minutes: Decimal
    retention_days: int  #: finished events, attempts and evidence older than this are removed; 0: never
    archive_dir: Path | None  #: absolute; invoices older than that are archived there; None: they are kept
    log_format: Literal["console", "json"] | None  #: None: console on a terminal, else json
    log_level: Literal["debug", "info", "warning", "error"]
    remote_control: Literal["read", "all", "off"]  #: which commands of Celery's remote control workers take
    nice: int  #: how far workers, intake and beat lower their priority, so that the web process answers first
    sandbox_port: int
    web_host: str
    web_port: int  #: 0: a free one
    public_url: str | None  #: where providers and browsers reach the web process; without a slash at its end
    web_serve: tuple[str, ...]  #: of ``config.web.SERVICES``
    web_allowed_hosts: tuple[str, ...]  #: besides loopback names and the host of ``public_url``
    metrics_port: MetricsPort  #: of each process except ``web``
    metrics_allow: tuple[str, ...]  #: addresses and CIDRs that may read /metrics
    trusted_proxies: tuple[str, ...]  #: addresses and CIDRs whose forwarded headers are believed
    oidc_issuer: str | None  #: who says who somebody is, at the console's sign-in
    oidc_client_id: str | None  #: ours there; given with every issuer
    oidc_client_secret: SecretStr | None  #: None: a public client, by PKCE alone
    oidc_roles_claim: str  #: of its tokens: which roles somebody has
    secret_files: tuple[Path, ...] = ()  #: that settings and accounts' keys were read from
    given_in: Mapping[str, str] = Field(default_factory=dict)  #: by name: environment or file; others were not given

    @property
    def embedded(self) -> bool:
        """Whether broker and database are the embedded ones: who can read their files may do anything."""
        return self.embedded_broker and self.embedded_database

    @property
    def is_public(self) -> bool:
        """Whether the web process is reached from other hosts."""
        return not is_loopback(self.web_host) or (self.public_url is not None and not is_loopback_url(self.public_url))

    def secret_keys(self) -> tuple[SecretStr, ...]:
        """The keys that encrypt endpoint secrets, the newest first; made and kept under ``home`` when embedded.

        Raises SettingsError when the kept key can't be read or made.
        """
        if self.given_secret_keys:
            return self.given_secret_keys
        try:
            return tuple(SecretStr(key) for key in keep_key(self.home))
        except OSError as error:
            line = f"INVOICES_SECRET_KEY: can't keep a key in {self.home}: {error.strerror}"
            raise SettingsError(f"{line}: {ANOTHER_HOME}") from None
        except ValueError as error:
            raise SettingsError(f"INVOICES_SECRET_KEY: {self.home}/secret.key: {error}") from None

    def secrets(self) -> tuple[str, ...]:
        """Every secret value among the settings, for the log's redaction."""
        keys = [key for account in self.accounts.values() for key in account.known_keys()]
        keys += [key.get_secret_value() for key in (*self.given_secret_keys, self.oidc_client_secret) if key]
        return (*keys, *passwords_of(self.database_url, self.broker_url, self.redis_url))


def load_settings(environ: Mapping[str, str] = os.environ, *, need_keys: bool = True) -> Settings:
    """Read and check the settings. Writes nothing. Raises SettingsError.

    Without ``need_keys`` an account's key that can't be read (``env:``, ``file:``) raises where it is used.
    """
    in_file = _open_files(_read_file(environ), environ)
    in_environment = _open_files(_read_environment(environ), environ)
    given = in_file | in_environment
    values = {name: _parse(name, given.get(name), environ) for name in KNOBS}
    _set_passwords(values, given)
    if need_keys:
        _require_keys(values["accounts"] or {}, given.get("accounts"))
    home: Path = values["home"] or _parse("home", Given(str(default_home(environ)), "INVOICES_HOME"), environ)
    broker = values["broker_url"] or f"redis+socket://{embedded_socket(home)}"
    _check_oidc(values, given)
    _require_secret_key(values)
    return Settings(
        home=home,
        database_url=values["database_url"] or f"sqlite+pysqlite:///{home}/invoices.db",
        broker_url=broker,
        redis_url=values["redis_url"] or _redis_url_of(broker),
        embedded_broker=values["broker_url"] is None,
        embedded_database=values["database_url"] is None,
        accounts=values["accounts"] or sandbox_accounts(values["sandbox_port"]),
        given_secret_keys=tuple(SecretStr(key) for key in values["secret_key"]),
        secret_files=_secret_files(given, environ),
        given_in={name: "environment" if name in in_environment else "file" for name in given},
        **{name: values[name] for name in PLAIN},
    )


def _redis_url_of(broker_url: str) -> str:
    """The broker's server, where it is a Redis. Raises SettingsError."""
    url = redis_url_of(broker_url)
    if url is None:
        raise SettingsError("INVOICES_REDIS_URL: is required with an amqp:// broker (redis://host:port)")
    return url


def _set_passwords(values: dict[str, Any], given: Mapping[str, Given]) -> None:
    """Put the passwords that were given apart into their addresses. Raises SettingsError."""
    for name in PASSWORDS:
        password, url = values.pop(f"{name}_password"), f"{name}_url"
        if password is None:
            continue
        label = given[f"{name}_password"].label
        if values[url] is None:
            raise SettingsError(f"{label}: INVOICES_{url.upper()} is missing, which it belongs to")
        try:
            values[url] = with_password(values[url], password.get_secret_value())
        except ValueError as error:
            raise SettingsError(f"{label}: {error} (INVOICES_{url.upper()})") from None


def _check_oidc(values: Mapping[str, Any], given: Mapping[str, Given]) -> None:
    """Raise SettingsError where an issuer is half set up: nobody could sign in."""
    if values["oidc_issuer"] is not None:
        if values["oidc_client_id"] is None:
            raise SettingsError("INVOICES_OIDC_CLIENT_ID: is required with INVOICES_OIDC_ISSUER")
        return
    for name in ("oidc_client_id", "oidc_client_secret", "oidc_roles_claim"):
        if name in given:
            raise SettingsError(f"{given[name].label}: INVOICES_OIDC_ISSUER is missing, which it belongs to")


def _require_keys(accounts: Mapping[str, Account], given: Given | None) -> None:
    for account in accounts.values():
        why = account.missing_key()
        if why is not None:
            raise SettingsError(f"{given.label if given else f'{PREFIX}ACCOUNTS'}: {why}")


def _require_secret_key(values: Mapping[str, Any]) -> None:
    embedded = values["broker_url"] is None and values["database_url"] is None
    if not embedded and not values["secret_key"]:
        raise SettingsError(
            "INVOICES_SECRET_KEY: is required unless both broker and database are the embedded ones: "
            "32 random bytes in URL-safe base64"
        )


# --- where values come from -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was found, and the name it goes by in an error."""

    value: object
    label: str
    file: Path | None = None  #: that it was read from


def _read_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    given = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(f"{PREFIX}TEST_") or variable == f"{PREFIX}CONFIG":
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in NAMES or variable != PREFIX + name.upper():
            raise SettingsError(f"{_shown(variable)}: there is no such setting{_did_you_mean(variable)}")
        if text.strip():  # an empty variable, as compose files leave them, means "not given"
            given[name] = Given(text.strip(), variable)
    return given


def _read_file(environ: Mapping[str, str]) -> dict[str, Given]:
    name = environ.get(f"{PREFIX}CONFIG", "").strip()
    if not name:
        return {}
    shown = _shown(name)
    try:
        text = read_regular(Path(name), MAX_SETTING_BYTES)
        if len(text) > MAX_SETTING_BYTES:
            raise SettingsError(f"INVOICES_CONFIG: {shown} holds more than {MAX_SETTING_BYTES:,} bytes")
        content = tomllib.loads(text.decode("utf-8-sig"), parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"INVOICES_CONFIG: can't read {shown}: {error.strerror}") from None
    except UnicodeError:
        raise SettingsError(f"INVOICES_CONFIG: {shown} is not UTF-8") from None
    except RecursionError:
        raise SettingsError(f"INVOICES_CONFIG: {shown} is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        # Only the place: the parser's words may quote the line, and the line may hold a secret.
        place = re.search(r"\(at [^)]*\)", str(error))
        raise SettingsError(f"INVOICES_CONFIG: {shown} is not TOML {place[0] if place else ''}".rstrip()) from None
    except ValueError:  # a path with a NUL in it, or a number of more digits than Python reads
        raise SettingsError(f"INVOICES_CONFIG: {shown} can't be read") from None
    for key in content:
        if key not in NAMES:
            raise SettingsError(f"{_shown(key)} in {shown}: there is no such setting{_did_you_mean(key, NAMES)}")
    return {key: Given(value, f"{key} in {shown}") for key, value in content.items()}


def _open_files(given: Mapping[str, Given], environ: Mapping[str, str]) -> dict[str, Given]:
    """The same with what stands in the files that ``x_file`` names as ``x``. Raises SettingsError."""
    found = {name: one for name, one in given.items() if name in KNOBS}
    for name, one in given.items():
        if name in KNOBS:
            continue
        setting = name.removesuffix(FILE_SUFFIX)
        if setting in found:
            raise SettingsError(f"{one.label}: {found[setting].label} is given too; give one of the two")
        try:
            path = find_file(kinds.read_text(one.value), environ)
            found[setting] = Given(read_secret(path, MAX_SETTING_BYTES), one.label, path)
        except ValueError as error:
            raise SettingsError(f"{one.label}: {error}") from None
    return found


def _secret_files(given: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[Path, ...]:
    found = [one.file for one in given.values() if one.file is not None]
    if "accounts" in given:
        found += find_key_files(given["accounts"].value, environ)
    return tuple(dict.fromkeys(found))


def _shown(name: str) -> str:
    """A name or path as an error quotes it."""
    return hide_address(name)[:MAX_NAME]


def _did_you_mean(name: str, names: tuple[str, ...] = ()) -> str:
    near = get_close_matches(name, names or [PREFIX + one.upper() for one in NAMES] + [f"{PREFIX}CONFIG"], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _parse(name: str, given: Given | None, environ: Mapping[str, str]) -> Any:
    knob = KNOBS[name]
    value = knob.default if given is None else given.value
    if value is None:
        return None
    label = given.label if given else PREFIX + name.upper()
    try:
        return knob.parse(value, environ)
    except ValueError as error:
        raise SettingsError(f"{label}: {error}") from None
