"""A request whose headers are found by their names: Starlette searches the whole list for each."""

from __future__ import annotations

import functools

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope


class NamedHeaders(Headers):
    """Starlette's headers; the reading of one value, or of all of one name, takes no search."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        self._named: dict[bytes, list[str]] = {}
        for name, value in self._list:
            self._named.setdefault(name, []).append(value.decode("latin-1"))

    def getlist(self, key: str) -> list[str]:
        """Every value of this name, in order."""
        return list(self._named.get(_raw(key), ()))

    def __getitem__(self, key: str) -> str:
        """The first value of this name. Raises KeyError."""
        found = self._named.get(_raw(key))
        if found is None:
            raise KeyError(key)
        return found[0]

    def __contains__(self, key: object) -> bool:
        """Whether there is such a header."""
        return isinstance(key, str) and _raw(key) in self._named


class NamedRequest(Request):
    """A request with such headers."""

    @functools.cached_property
    def headers(self) -> NamedHeaders:
        """Made once."""
        return NamedHeaders(self.scope)


@functools.lru_cache(500)
def _raw(name: str) -> bytes:
    return name.lower().encode("latin-1")
