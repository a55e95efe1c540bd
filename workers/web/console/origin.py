"""Whether a request that changes something came from a page of the console itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request


def why_foreign(request: Request) -> str | None:
    """Why it did not; None: it did. ``Sec-Fetch-Site`` decides, which no script can set; of browsers that don't send
    it, ``Origin``. A request with neither is no browser's: it must bring a session all the same."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return None if site == "same-origin" else f"Sec-Fetch-Site is {site[:20]!r}, not 'same-origin'."
    origin = request.headers.get("origin")
    if origin is None:
        return None
    host = request.headers.get("host", "").lower()
    return None if _host_in(origin) == host else "Origin is another site's."


def _host_in(origin: str) -> str | None:
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return None
