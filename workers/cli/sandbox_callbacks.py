"""Where the sandbox's Nebulox posts its callbacks: to the web process on this machine."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account

#: How often, and how far apart, a sandbox that does not answer yet is told an address.
TRIES, WAIT_SECONDS = 60, 0.5

#: What the supervisor's log has of `invoices web` once it takes requests.
_LISTENING = re.compile(r"^web[0-9]*\s+\| listening on (http://\S+?)/?$")
#: A host that means "all of this one's addresses", and one that reaches it.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on


def is_at_sandbox(account: Account, config: Settings) -> bool:
    """Whether the account's address is the sandbox's port on this machine."""
    place = urlsplit(account.base_url)
    return place.hostname in {"127.0.0.1", "localhost"} and place.port == config.sandbox_port


def callback_path(config: Settings) -> str | None:
    """The web process's path for callbacks to the sandbox's Nebulox account; None: there is none, or none is served."""
    accounts = (one for one in config.accounts.values() if one.provider == "nebulox" and is_at_sandbox(one, config))
    account = next(accounts, None)
    if account is None or "callbacks" not in config.web_serve:
        return None
    return f"/callbacks/{quote(account.name, safe='')}"


def callback_url(config: Settings) -> str | None:
    """The whole address, as far as the settings tell it: not with a free port."""
    path = callback_path(config)
    if path is None or not config.web_port:
        return None
    host = _EVERYWHERE.get(config.web_host, config.web_host)
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{shown}:{config.web_port}{path}"


def read_listening(line: str) -> str | None:
    """Where the web process says, in a line of the supervisor's log, that it listens; None: the line is another."""
    match = _LISTENING.match(line)
    if match is None:
        return None
    place = urlsplit(match[1])
    host = _EVERYWHERE.get(place.hostname or "")
    return match[1] if host is None else f"http://{host}:{place.port}"


def name_address(control_url: str, url: str) -> bool:
    """Tell the sandbox where to post callbacks from now on; whether it took that. It may still be starting."""
    import httpx

    for _ in range(TRIES):
        try:
            told = httpx.post(f"{control_url}/callbacks", json={"url": url}, trust_env=False, timeout=10)
        except httpx.TransportError:
            time.sleep(WAIT_SECONDS)
        else:
            return told.is_success
    return False
