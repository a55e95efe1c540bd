"""Whose requests the sandbox answers: programs that use its own address, and no web pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard_visitors(names: frozenset[str]) -> Middleware:
    """A middleware that refuses web pages, which may post to this machine or make their own name lead to it.

    ``names``: host names that the control address answers to, besides localhost and the address connected to.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_from_a_page(request):
            return _refuse(403, "the sandbox takes no requests of web pages (Origin)")
        if _is_control(request) and not _is_ours(request, names):
            return _refuse(
                421, "the sandbox is not controlled by this name (Host): use its address, or --allow-host NAME"
            )
        return await handler(request)

    return guard


def _is_from_a_page(request: web.Request) -> bool:
    """Whether a browser sent it for a page of another origin. Programs send no such header."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{request.headers.get('Host', '')}".lower():
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _is_control(request: web.Request) -> bool:
    """Whether it reads or changes the sandbox. Providers' calls and webhooks do not, and may use any host name."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "receiver":
        return not (request.method == "POST" and len(parts) == 2)
    return parts[0] in {"control", ""}


def _is_ours(request: web.Request, names: frozenset[str]) -> bool:
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host in names:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or str(address) == _connected_to(request)


def _connected_to(request: web.Request) -> str:
    """Our address that the caller connected to."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
