"""The addresses among the settings: which are taken, what follows from them, and how they are shown."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps")
REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")
POSTGRESQL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
SQLITE_SCHEMES = ("sqlite", "sqlite+pysqlite")

_USER_PART = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET_PARAMETER = re.compile(r"(?i)([?&;](?:[a-z_-]*password|api_?key|token|secret|signature)=)[^&;\s]*")
#: A Unix socket's address holds 104 bytes on macOS and 108 on Linux, the closing zero included.
_SOCKET_PATH_BYTES = 100
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def redact_url(text: str) -> str:
    """The text with user, password and secret parameters of every address in it replaced by ``***``."""
    if "@" in text:
        text = _USER_PART.sub("***@", text)
    return _SECRET_PARAMETER.sub(r"\1***", text) if "=" in text else text


def passwords_of(*urls: str) -> tuple[str, ...]:
    """The passwords in addresses, as written and as meant."""
    found = (urlsplit(part).password for url in urls for part in url.split(";"))
    return tuple(form for password in found if password for form in {password, unquote(password)})


def embedded_socket(home: Path) -> Path:
    """The Unix socket of the embedded Valkey of a home folder; computed only, nothing is made.

    The same rule as ``workers.embedded.valkey.address`` (a test holds the two together): in the home folder, or in a
    private folder under the temporary folder where that path is too long or would have to be escaped in a URL.
    """
    home = home.resolve()
    name = f"invoices-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    for place in (home / "valkey", Path(tempfile.gettempdir()) / name):
        path = place / "valkey.sock"
        if len(os.fsencode(path)) < _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(path)):
            return path
    return Path("/tmp") / name / "valkey.sock"  # noqa: S108 - computed only; who makes the folder makes it private


def check_broker_url(url: str) -> str:
    """A broker's address; several, separated by ``;``, are alternatives. Raises ValueError saying what is allowed."""
    for part in url.split(";"):
        parts = _split(part)
        if parts.scheme not in BROKER_SCHEMES:
            raise ValueError(f"must be an address starting with {_listed(BROKER_SCHEMES)}")
        if parts.scheme == "redis+socket":
            if parts.netloc or len(parts.path) < 2:
                raise ValueError("must be redis+socket:///absolute/path")
        elif not parts.hostname:
            raise ValueError(f"must name a host: {parts.scheme}://host:port")
    if url.startswith("sentinel:") and sentinel_master(url) is None:
        raise ValueError("must name the master: sentinel://host:26379?master_name=NAME")
    return url


def check_redis_url(url: str) -> str:
    """Redis' address for redis-py. Raises ValueError saying what is allowed."""
    parts = _split(url.split(";", 1)[0])
    if parts.scheme == "redis+socket":
        return redis_url_of(check_broker_url(url)) or url
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"must be an address starting with {_listed(REDIS_SCHEMES)}")
    if parts.scheme == "unix":
        if len(parts.path) < 2:
            raise ValueError("must be unix:///absolute/path")
    elif not parts.hostname:
        raise ValueError(f"must name a host: {parts.scheme}://host:port")
    if parts.scheme == "sentinel" and sentinel_master(url) is None:
        raise ValueError("must name the master: sentinel://host:26379?master_name=NAME")
    return url


def check_database_url(url: str) -> str:
    """The database's address for SQLAlchemy, its driver made explicit. Raises ValueError saying what is allowed."""
    parts = _split(url)
    rest = url.partition("://")[2]
    if parts.scheme in POSTGRESQL_SCHEMES:
        if len(parts.path) < 2:
            raise ValueError("must name a database: postgresql+psycopg://user:password@host/database")
        return f"postgresql+psycopg://{rest}"
    if parts.scheme in SQLITE_SCHEMES:
        if len(parts.path) < 2 or parts.netloc or parts.path == "/:memory:":
            raise ValueError("must name a file: sqlite:////absolute/path (processes share it, so not in memory)")
        return f"sqlite+pysqlite://{rest}"
    raise ValueError("must be an address starting with postgresql+psycopg:// or sqlite:///")


def redis_url_of(broker_url: str) -> str | None:
    """The same server for redis-py, or None when the broker is no Redis."""
    scheme = broker_url.partition("://")[0]
    if scheme in {"amqp", "amqps"}:
        return None
    if scheme != "redis+socket":
        return broker_url if scheme == "sentinel" else broker_url.split(";", 1)[0]
    parts = urlsplit(broker_url.split(";", 1)[0])
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/")
    return f"unix://{parts.path}" + (f"?db={number}" if number not in {"", "0"} else "")


def sentinel_master(url: str) -> str | None:
    """The master's name in ``sentinel://…?master_name=NAME``, or None."""
    for part in url.split(";"):
        names = parse_qs(urlsplit(part).query).get("master_name")
        if names:
            return names[0]
    return None


def without_query(url: str) -> str:
    """A list of addresses without their query parts."""
    return ";".join(urlunsplit(urlsplit(part)._replace(query="", fragment="")) for part in url.split(";"))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked: it is parsed only here
    except ValueError:
        raise ValueError("is not an address with a valid host and port") from None
    return parts


def _listed(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes[:-1]) + f" or {schemes[-1]}://"
