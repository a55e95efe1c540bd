"""The cookies that sign somebody in. On https their names begin with ``__Host-``: no other host can set them. On plain
http they are taken at a loopback name only, where browsers refuse that prefix."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from workers.web.surroundings import LOOPBACK_NAMES, host_of

SESSION, ATTEMPT = "invoices-session", "invoices-sign-in"
PREFIX = "__Host-"
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,100}")


def is_plain(request: Request) -> bool:
    """Whether the browser is on this host, without TLS."""
    return request.url.scheme == "http" and host_of(request.headers.get("host", "")) in LOOPBACK_NAMES


def why_unusable(request: Request) -> str | None:
    """Why a browser would not keep the cookie; None: it does. It came over plain http from another host, or there is a
    proxy whose word is not taken: only the browser's own word, ``Origin``, tells."""
    if is_plain(request) or not request.headers.get("origin", "").startswith("http:"):
        return None
    return "A session goes over https only, or over plain http to this host's own loopback address."


def session_of(request: Request) -> str | None:
    """The secret that the browser sent; None: none that can be one."""
    value = request.cookies.get(_name(request, SESSION), "")
    return value if _SECRET.fullmatch(value) else None


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Give the browser a cookie that no script can read; without ``seconds`` it is gone when the browser ends."""
    response.set_cookie(
        _name(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=not is_plain(request),
        httponly=True,
        samesite="lax",
    )


def read_cookie(request: Request, name: str) -> str | None:
    """What such a cookie holds."""
    return request.cookies.get(_name(request, name))


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Let the browser forget it."""
    set_cookie(request, response, name, "", 0)


def _name(request: Request, name: str) -> str:
    return name if is_plain(request) else f"{PREFIX}{name}"
