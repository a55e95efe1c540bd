"""Whose requests the sandbox answers: programs that call it by its own address, and no web page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard_visitors(names: frozenset[str]) -> Middleware:
    """A middleware. A page elsewhere may have its own name lead to this machine, or post to it: both are refused.

    ``names``: by which the sandbox may be controlled, besides localhost and the address that was connected to.
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
    """Of another origin than ours; browsers say so, programs say nothing."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{request.headers.get('Host', '')}".lower():
        return True
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _is_control(request: web.Request) -> bool:
    """What is neither a provider's call nor a webhook, which may come by any name: it reads or changes the sandbox."""
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
    """The address of ours that the caller connected to."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _refuse(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
