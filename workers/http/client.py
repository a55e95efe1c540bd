"""httpx's API without what is not used here: authentication, redirects, cookies, hooks, merged defaults.

Those cost more than the exchange itself.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import httpx


class LeanClient(httpx.AsyncClient):
    """Hands requests to its transport as they are. No redirect is followed, no cookie kept, no environment read.

    There is no time-out either: the caller bounds the whole exchange (``asyncio.timeout``).
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, trust_env=False, follow_redirects=False, timeout=None)
        self._wire = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **_: object) -> httpx.Response:
        """The transport's answer. Raises what the transport raises."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        response = await self._wire.handle_async_request(request)
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


def make_request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Request:
    """A request with these headers and no others (the wire adds Host and Content-Length).

    Raises ``httpx.InvalidURL``, and ValueError for what can't be sent: a header that is not ASCII.
    """
    request = httpx.Request(method, _url(url), stream=httpx.ByteStream(body or b""))
    request.headers = httpx.Headers(headers, encoding="ascii")  # otherwise httpx guesses it at each access
    request.read()
    return request


@functools.lru_cache(1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)
