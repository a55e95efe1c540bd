"""``GET /v1/openapi.json`` and ``/v1/asyncapi.json``, for developers: no token is needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from workers.web.api.api import JSON
from workers.web.api.schema.asyncapi import asyncapi_document
from workers.web.api.schema.documents import SHOW_ASYNCAPI, SHOW_OPENAPI
from workers.web.api.schema.openapi import openapi_document
from workers.web.api.schema.operation import Endpoint, route


class Documents:
    """Both documents, built when first asked for."""

    def __init__(self, others: Sequence[BaseRoute], version: str) -> None:
        self._others = others
        self._version = version

    def routes(self) -> list[BaseRoute]:
        """What the application serves of it."""
        return [
            route(SHOW_OPENAPI, _serve(lambda: self._openapi)),
            route(SHOW_ASYNCAPI, _serve(lambda: self._asyncapi)),
        ]

    @cached_property
    def _openapi(self) -> bytes:
        return _written(openapi_document([*self._others, *self.routes()], self._version))

    @cached_property
    def _asyncapi(self) -> bytes:
        return _written(asyncapi_document(self._version))


def _serve(document: Callable[[], bytes]) -> Endpoint:
    async def answer(request: Request) -> Response:
        """The document; 304 for a client that has it."""
        body = document()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=JSON)

    return answer


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
