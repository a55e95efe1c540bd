"""The database's address: which are allowed, and several servers of which the primary is meant."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit

POSTGRESQL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
SQLITE_SCHEMES = ("sqlite", "sqlite+pysqlite")

#: Which of several servers is taken. libpq knows more, but orders are written. The first also passes over a server
#: whose `default_transaction_read_only` is on.
TAKES_WRITES = ("read-write", "primary")

#: A host by name, by IPv4 or [IPv6] address, or the folder of a socket (%2Frun%2Fpostgresql); its port.
_SERVER = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^\s:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT = 65535


def check_database_url(url: str) -> str:
    """The database's address for SQLAlchemy, its driver made explicit. Raises ValueError that says what is allowed.

    libpq's way to name several servers, `postgresql://a:5432,b:5432/invoices`, is turned into SQLAlchemy's.
    """
    scheme, _, rest = url.partition("://")
    if scheme in POSTGRESQL_SCHEMES:
        return f"postgresql+psycopg://{_check_postgresql(rest)}"
    try:
        parts = urlsplit(url)
        _ = parts.port  # urlsplit checks the port only when it is read
    except ValueError:
        raise ValueError("is not an address with a valid host and port") from None
    if scheme in SQLITE_SCHEMES:
        if len(parts.path) < 2 or parts.netloc or parts.path == "/:memory:":
            raise ValueError("must name a file: sqlite:////absolute/path (processes share it, so not in memory)")
        return f"sqlite+pysqlite://{rest}"
    raise ValueError("must be an address starting with postgresql+psycopg:// or sqlite:///")


def _check_postgresql(rest: str) -> str:
    """What follows the ``://``, with several servers in the query. Raises ValueError."""
    place, _, query = rest.partition("?")
    login_and_hosts, slash, database = place.partition("/")
    if not database:
        raise ValueError("must name a database: postgresql+psycopg://user:password@host/database")
    login, at, hosts = login_and_hosts.rpartition("@")
    servers = [_read_server(server) for server in hosts.split(",")]
    given = parse_qs(query)
    if len(servers) > 1:
        if {"host", "port"} & set(given):
            raise ValueError("must name its servers once: before the database, or as host and port after the ?")
        names, ports = (",".join(values) for values in zip(*servers, strict=True))
        query = "&".join(part for part in (query, f"host={quote(names, safe=',')}&port={ports}") if part)
    several = len(servers) > 1 or any("," in value for value in given.get("host", [])) or len(given.get("host", [])) > 1
    return f"{login}{at}{'' if len(servers) > 1 else hosts}{slash}{database}{_meant(query, given, several)}"


def _meant(query: str, given: dict[str, list[str]], several: bool) -> str:
    """The query, with which server is meant where there are several. Raises ValueError."""
    for wanted in given.get("target_session_attrs", []):
        if wanted not in TAKES_WRITES:
            raise ValueError(f"target_session_attrs must be {' or '.join(TAKES_WRITES)}: orders are written")
    if several and "target_session_attrs" not in given:
        query += f"&target_session_attrs={TAKES_WRITES[0]}"
    return f"?{query}" if query else ""


def _read_server(text: str) -> tuple[str, str]:
    """Host and port of one server; no port is libpq's default. Raises ValueError."""
    found = _SERVER.fullmatch(text)
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        raise ValueError("is not an address with a valid host and port")
    return found["ipv6"] or unquote(found["name"]), found["port"] or ""
