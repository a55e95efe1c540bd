"""The addresses among the settings: which are allowed, what follows from them, and how they are shown."""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, parse_qsl, quote, unquote, unquote_plus, urlsplit, urlunsplit

BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps")
REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")
SENTINEL_PORT = 26379
#: Of a sentinel:// address. The last two are for the sentinels themselves; its user and password are the master's.
SENTINEL_PARAMETERS = ("master_name", "sentinel_username", "sentinel_password")
#: What a rediss:// or amqps:// address may say about certificates, with the values of each. Files must exist.
TLS_SCHEMES = ("rediss", "amqps")
TLS_CHOICES = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OTHERS = ("ssl_password",)

_USER_PART = re.compile(r"(?<=://)[^\s/?#]*@")
_SECRET_PARAMETER = re.compile(r"(?i)([?&;](?:[a-z_-]*password|api_?key|token|secret|signature)=)[^&;\s]*")
#: A Unix socket's address holds 104 bytes on macOS and 108 on Linux, the closing zero included.
_SOCKET_PATH_BYTES = 100
_DATABASE_NUMBER = re.compile(r"[0-9]{0,9}")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def may_need_redaction(text: str) -> bool:
    """Whether ``redact_url`` might change this text, or any part of it."""
    return "@" in text or "=" in text


def redact_url(text: str) -> str:
    """The text with ``***`` in place of user, password and secret parameters of every address in it."""
    if "@" in text:
        text = _USER_PART.sub("***@", text)
    return _SECRET_PARAMETER.sub(r"\1***", text) if "=" in text else text


def hide_address(text: str) -> str:
    """The text as an error quotes a name or a path. In the wrong place it may be an address with its password, in
    whatever characters: nothing behind ``://`` is shown."""
    scheme, found, _ = text.partition("://")
    return f"{scheme[:40]}://***" if found else text


def quoted(text: str) -> str:
    """The same, in quotes and short, for what is part of a value: an address that was cut may have lost its ``://``."""
    return repr("***" if "@" in text and "://" not in text else hide_address(text)[:80])


def passwords_of(*urls: str) -> tuple[str, ...]:
    """The passwords in addresses, as written there and decoded."""
    parts = [urlsplit(part) for url in urls for part in url.split(";")]
    found = [part.password for part in parts]
    # In a query a "+" stands for a space: both forms count.
    found += [value for part in parts for name, value in _raw_query(part) if name.endswith("password")]
    forms = (password and (password, unquote(password), unquote_plus(password)) for password in found)
    return tuple(dict.fromkeys(form for several in forms if several for form in several))


def with_password(url: str, password: str) -> str:
    """The address with this password in it, or each of several. Raises ValueError that says why that can't be."""
    if passwords_of(url):
        raise ValueError("the address has a password already")
    return ";".join(_with_password(part, quote(password, safe="")) for part in url.split(";"))


def _with_password(url: str, quoted: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme.startswith(("unix", "redis+socket", "sqlite")):
        raise ValueError(f"an address of {parts.scheme}:// takes no password")
    if not at and not parts.scheme.startswith(("redis", "sentinel")):
        raise ValueError(f"the address must name the user: {parts.scheme}://user@host")
    return urlunsplit(parts._replace(netloc=f"{user}:{quoted}@{host}"))


def _raw_query(parts: SplitResult) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in parts.query.split("&"))
    return [(name, value) for name, _, value in pairs]


def embedded_socket(home: Path) -> Path:
    """The Unix socket of a home folder's embedded Valkey. It is computed only; nothing is made.

    The rule is that of ``workers.embedded.valkey.address`` (a test compares the two): in the home folder, or, if that
    path is too long or would have to be escaped in a URL, in a private folder under the temporary folder.
    """
    home = home.resolve()
    name = f"invoices-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    for place in (home / "valkey", Path(tempfile.gettempdir()) / name):
        path = place / "valkey.sock"
        if len(os.fsencode(path)) < _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(path)):
            return path
    return Path("/tmp") / name / "valkey.sock"  # noqa: S108 - computed only; the folder is made private elsewhere


def check_broker_url(url: str) -> str:
    """A broker's address, or several alternatives separated by ``;``. Raises ValueError that says what is allowed."""
    for part in url.split(";"):
        parts = _split(part)
        if parts.scheme not in BROKER_SCHEMES:
            raise ValueError(f"must be an address starting with {_listed(BROKER_SCHEMES)}")
        if parts.scheme == "redis+socket":
            if parts.netloc or len(parts.path) < 2:
                raise ValueError("must be redis+socket:///absolute/path")
        elif not parts.hostname:
            raise ValueError(f"must name a host: {parts.scheme}://host:port")
        _check_tls(parts)
        if not parts.scheme.startswith("amqp") and not _DATABASE_NUMBER.fullmatch(_database_of(parts)):
            raise ValueError("must name its database by a number: redis://host:port/0")
    if url.startswith("sentinel:"):
        read_sentinel(url)
    return url


def check_redis_url(url: str) -> str:
    """Redis' address for redis-py. Raises ValueError that says what is allowed."""
    parts = _split(url.split(";", 1)[0])
    _check_tls(parts)
    if parts.scheme == "redis+socket":
        return redis_url_of(check_broker_url(url)) or url
    if parts.scheme not in REDIS_SCHEMES:
        raise ValueError(f"must be an address starting with {_listed(REDIS_SCHEMES)}")
    if parts.scheme == "unix":
        if len(parts.path) < 2:
            raise ValueError("must be unix:///absolute/path")
    elif not parts.hostname:
        raise ValueError(f"must name a host: {parts.scheme}://host:port")
    if parts.scheme == "sentinel":
        read_sentinel(url)
    elif parts.query:
        _check_options(url.split(";", 1)[0])
    return url


def redis_url_of(broker_url: str) -> str | None:
    """The broker's address for redis-py; None if the broker is no Redis."""
    scheme = broker_url.partition("://")[0]
    if scheme in {"amqp", "amqps"}:
        return None
    if scheme != "redis+socket":
        return broker_url if scheme == "sentinel" else broker_url.split(";", 1)[0]
    parts = urlsplit(broker_url.split(";", 1)[0])
    number = _database_of(parts)
    return f"unix://{parts.path}" + (f"?db={number}" if number not in {"", "0"} else "")


def verified(url: str) -> str:
    """The address with certificates required: kombu's default is to trust any (redis-py's is not)."""
    return ";".join(_verified(part) if part.startswith("rediss://") else part for part in url.split(";"))


def _verified(part: str) -> str:
    if "ssl_cert_reqs" in parse_qs(urlsplit(part).query):
        return part
    return f"{part}{'&' if '?' in part else '?'}ssl_cert_reqs=required"


def amqp_tls(url: str) -> dict[str, object]:
    """Options for py-amqp about certificates. By default it would not compare a certificate's name with the host's."""
    given = dict(parse_qsl(urlsplit(url).query))
    said: dict[str, object] = {name.removeprefix("ssl_"): given[name] for name in TLS_FILES if name in given}
    if given.get("ssl_check_hostname") != "false" and given.get("ssl_cert_reqs") != "none":
        said |= {"server_hostname": None}  # None: the host of the address
    return said | {"cert_reqs": ssl.VerifyMode[f"CERT_{given.get('ssl_cert_reqs', 'required').upper()}"]}


def without_query(url: str) -> str:
    """Addresses, separated by ``;``, without their queries."""
    return ";".join(urlunsplit(urlsplit(part)._replace(query="", fragment="")) for part in url.split(";"))


# --- sentinels ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A Redis that sentinels know: ``sentinel://user:password@host:26379/0;sentinel://…?master_name=NAME``."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    username: str | None
    password: str | None = field(repr=False)
    database: int
    login: Mapping[str, str] = field(repr=False)  #: username and password for the sentinels themselves

    def kombu_url(self) -> str:
        """For kombu, which takes user, password and database from whichever address it tries next: all have them."""
        user = quote(self.username or "", safe="")
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        login = f"{user}{secret}@" if user or secret else ""
        hosts = ((f"[{host}]" if ":" in host else host, port) for host, port in self.hosts)
        return ";".join(f"sentinel://{login}{host}:{port}/{self.database}" for host, port in hosts)


def read_sentinel(url: str) -> Sentinels:
    """The parts of a sentinel:// address. Raises ValueError that says what is allowed."""
    parts = [_split(part) for part in url.split(";")]
    given = dict(pair for part in parts for pair in parse_qsl(part.query))
    for part in parts:
        if part.scheme != "sentinel" or not part.hostname:
            raise ValueError("must name sentinels only: sentinel://host:26379;sentinel://host:26379?master_name=NAME")
    for name in given:
        if name not in SENTINEL_PARAMETERS:
            raise ValueError(f"{quoted(name)} is not taken; a sentinel:// address has {', '.join(SENTINEL_PARAMETERS)}")
    if not given.get("master_name"):
        raise ValueError("must name the master: sentinel://host:26379?master_name=NAME")
    logins = {(part.username, part.password) for part in parts if part.username or part.password}
    databases = {part.path.strip("/") for part in parts} - {""}
    if len(logins) > 1 or len(databases) > 1:
        raise ValueError("must have one user, password and database for all sentinels (they are the master's)")
    database = databases.pop() if databases else "0"
    if not re.fullmatch("[0-9]{1,5}", database):
        raise ValueError("must have a number as database: sentinel://host:26379/0?master_name=NAME")
    username, password = logins.pop() if logins else (None, None)
    return Sentinels(
        hosts=tuple((part.hostname or "", part.port or SENTINEL_PORT) for part in parts),
        master=given["master_name"],
        username=unquote(username) if username else None,
        password=unquote(password) if password is not None else None,
        database=int(database),
        login={name.removeprefix("sentinel_"): given[name] for name in SENTINEL_PARAMETERS[1:] if name in given},
    )


# --- small things -------------------------------------------------------------------------------------------------


def _database_of(parts: SplitResult) -> str:
    """The part that kombu takes for the number of Redis' database."""
    if parts.scheme == "redis+socket":
        return parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/")
    return parts.path.strip("/")


def _check_options(url: str) -> None:
    """Check what follows the ``?`` now: redis-py reads it only when it connects."""
    from redis import ConnectionPool  # not at the top: few addresses have options, and many commands need no Redis

    try:
        ConnectionPool.from_url(url).make_connection()  # makes the object, connects to nothing
    except (TypeError, ValueError):
        raise ValueError("has options after its ? that redis-py does not take") from None


def _check_tls(parts: SplitResult) -> None:
    """Check what is said of certificates now, not at the first connection."""
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    if given and parts.scheme not in TLS_SCHEMES:
        raise ValueError(f"{next(iter(given))} is taken with {' and '.join(TLS_SCHEMES)}:// only")
    for name, value in given.items():
        if name in TLS_CHOICES:
            if value not in TLS_CHOICES[name]:
                raise ValueError(f"{name} must be {' or '.join(TLS_CHOICES[name])}")
        elif name in TLS_FILES:
            if not os.access(value, os.R_OK):
                raise ValueError(f"{name}: can't read {value}")
        elif name not in TLS_OTHERS:
            raise ValueError(
                f"{quoted(name)} is not taken; TLS has {', '.join((*TLS_CHOICES, *TLS_FILES, *TLS_OTHERS))}"
            )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # urlsplit checks the port only when it is read
    except ValueError:
        raise ValueError("is not an address with a valid host and port") from None
    return parts


def _listed(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes[:-1]) + f" or {schemes[-1]}://"
