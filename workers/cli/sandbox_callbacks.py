"""Where the sandbox's providers post their callbacks: to the web process on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from workers.embedded.listening import EVERYWHERE

if TYPE_CHECKING:
    from config.settings import Settings
    from domain.account import Account

#: How often the sandbox, which may still be starting, is told an address, and how far apart.
TRIES, WAIT_SECONDS = 60, 0.5


def is_at_sandbox(account: Account, config: Settings) -> bool:
    """Whether the account's address is the sandbox's port on this machine."""
    place = urlsplit(account.base_url)
    return place.hostname in {"127.0.0.1", "localhost"} and place.port == config.sandbox_port


def callback_paths(config: Settings) -> dict[str, str]:
    """The web process's path for callbacks of each of the sandbox's providers: that of its first account."""
    from workers.embedded.sandbox.providers.registry import STAND_INS

    if "callbacks" not in config.web_serve:
        return {}
    at_sandbox = [one for one in config.accounts.values() if is_at_sandbox(one, config)]
    calling = {each.name for each in STAND_INS if each.callbacks is not None}
    first = {one.provider: one.name for one in reversed(at_sandbox) if one.provider in calling}
    return {provider: f"/callbacks/{quote(name, safe='')}" for provider, name in first.items()}


def local_web_url(config: Settings) -> str | None:
    """Where the web process is reached from this machine; None when it takes a free port, not known here."""
    if not config.web_port:
        return None
    host = EVERYWHERE.get(config.web_host, config.web_host)
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{shown}:{config.web_port}"


def callback_urls(config: Settings) -> dict[str, str]:
    """The whole URLs, by provider; none when the web process takes a free port."""
    web = local_web_url(config)
    return {} if web is None else {name: f"{web}{path}" for name, path in callback_paths(config).items()}


def name_address(control_url: str, provider: str, url: str) -> bool:
    """Tell the sandbox, which may still be starting, where a provider posts callbacks; whether it accepted that."""
    import httpx

    for _ in range(TRIES):
        try:
            told = httpx.post(
                f"{control_url}/callbacks", json={"provider": provider, "url": url}, trust_env=False, timeout=10
            )
        except httpx.TransportError:
            time.sleep(WAIT_SECONDS)
        else:
            return told.is_success
    return False
