"""Every setting there is: its name, how it is read, its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config import kinds
from config.accounts import read_accounts
from config.database_url import check_database_url
from config.urls import check_broker_url, check_redis_url
from config.web import (
    read_hosts,
    read_listen_host,
    read_metrics_port,
    read_networks,
    read_public_url,
    read_services,
)
from config.webhook_allow import check_allowed

PREFIX = "INVOICES_"
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Knob:
    """How a setting is read, and its default (None: it follows from the others)."""

    parse: Callable[[object, Mapping[str, str]], object]
    default: object = None
    may_be_file: bool = False  #: it holds a secret: ``x_file`` may name the file that has it


KNOBS: Mapping[str, Knob] = {
    "home": Knob(kinds.home),
    "database_url": Knob(kinds.url(check_database_url), may_be_file=True),
    "database_password": Knob(kinds.secret, may_be_file=True),
    "broker_url": Knob(kinds.url(check_broker_url), may_be_file=True),
    "broker_password": Knob(kinds.secret, may_be_file=True),
    "redis_url": Knob(kinds.url(check_redis_url), may_be_file=True),
    "redis_password": Knob(kinds.secret, may_be_file=True),
    "accounts": Knob(read_accounts, may_be_file=True),
    "secret_key": Knob(kinds.keys, "", may_be_file=True),
    "webhook_allow": Knob(kinds.checked(check_allowed), ""),
    "stream": Knob(kinds.stream, "invoices:events"),
    "stream_maxlen": Knob(kinds.whole(1, 10**12 - 1), 1_000_000),
    "retention_days": Knob(kinds.whole(0, 36_500), 90),
    "archive_dir": Knob(kinds.home),
    "monitor_minutes": Knob(kinds.minutes, 1440),
    "log_format": Knob(kinds.one_of("console", "json")),
    "log_level": Knob(kinds.one_of(*LOG_LEVELS), "info"),
    "remote_control": Knob(kinds.one_of("read", "all", "off"), "read"),
    "nice": Knob(kinds.whole(0, 19), 10),
    "sandbox_port": Knob(kinds.whole(1, 65535), 8410),
    "web_host": Knob(kinds.checked(read_listen_host), "127.0.0.1"),
    "web_port": Knob(kinds.whole(0, 65535), 8420),
    "public_url": Knob(kinds.url(read_public_url)),
    "web_serve": Knob(kinds.checked(read_services), "callbacks,api,console"),
    "web_allowed_hosts": Knob(kinds.checked(read_hosts), ""),
    "metrics_port": Knob(kinds.checked(read_metrics_port), 0),
    "metrics_allow": Knob(kinds.checked(read_networks), "127.0.0.0/8,::1"),
    "trusted_proxies": Knob(kinds.checked(read_networks), ""),
    "oidc_issuer": Knob(kinds.issuer),
    "oidc_client_id": Knob(kinds.word),
    "oidc_client_secret": Knob(kinds.secret, may_be_file=True),
    "oidc_roles_claim": Knob(kinds.claim, "roles"),
}

#: Parts whose password may be given apart from their address.
PASSWORDS = ("database", "broker", "redis")
FILE_SUFFIX = "_file"
#: What may be given: every knob, and the file of each that holds a secret.
NAMES = (*KNOBS, *(f"{name}{FILE_SUFFIX}" for name, knob in KNOBS.items() if knob.may_be_file))

#: Knobs that become fields of Settings as they are; the others depend on each other.
PLAIN = tuple(
    KNOBS.keys()
    - {"home", "accounts", "secret_key"}
    - {f"{part}_{what}" for part in PASSWORDS for what in ("url", "password")}
)
