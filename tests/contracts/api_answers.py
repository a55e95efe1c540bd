"""Whether an answer of ``/v1`` is one that the OpenAPI document tells of: status, headers, media type, each field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from starlette.routing import BaseRoute, Match, Route

from domain.schemas import ref
from tests.schemas import closed
from workers.web.api.schema.openapi import openapi_document, operations

_BUG = {"application/problem+json": {"schema": ref("Problem")}}

#: Paths and closed schemas by the names of the operations: writing the document takes as long as ten requests.
_documents: dict[tuple[str, ...], tuple[Mapping[str, Any], dict[str, Any]]] = {}


class Answers:
    """Checks answers against the document of the routes that gave them. An undocumented field is a fault, too."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route)]
        names = tuple(operation.name for operation in operations(self._routes))
        if names not in _documents:  # operations are constants: under the same names they are the same
            document = openapi_document(self._routes, "1")
            _documents[names] = document["paths"], closed(document["components"]["schemas"])
        self._paths, self._components = _documents[names]

    def check(self, answer: httpx.Response) -> httpx.Response:
        """The answer itself. Raises AssertionError or jsonschema.ValidationError for one that is not documented."""
        described = self._describe(answer.request)
        if described is None:  # no such path, or not by this method
            assert answer.status_code in {404, 405}, answer
            return answer
        if answer.status_code == 500:  # a bug that a test has planted; nobody is promised one
            self._check_body(_BUG, answer)
            return answer
        told = described["responses"].get(str(answer.status_code))
        assert told is not None, f"{answer.request.method} {answer.request.url}: {answer.status_code} is not documented"
        self._check_headers(told.get("headers", {}), answer.headers)
        self._check_body(told.get("content", {}), answer)
        return answer

    def _describe(self, request: httpx.Request) -> Mapping[str, Any] | None:
        scope = {"type": "http", "path": request.url.path, "method": request.method, "root_path": ""}
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                described: Mapping[str, Any] | None = self._paths[route.path].get(request.method.lower())
                return described
        return None

    def _check_headers(self, told: Mapping[str, Any], headers: httpx.Headers) -> None:
        for name, header in told.items():
            assert name in headers or not header["required"], f"the header {name} is missing"
            if name in headers:
                self._validate(headers[name], header["schema"])

    def _check_body(self, told: Mapping[str, Any], answer: httpx.Response) -> None:
        if not told:
            assert answer.content == b"", answer.content[:200]
            return
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in told, f"{media_type} is not documented: {sorted(told)}"
        lines = answer.text.splitlines() if media_type == "application/x-ndjson" else [answer.text]
        for line in lines:
            self._validate(json.loads(line), told[media_type]["schema"])

    def _validate(self, value: object, schema: Mapping[str, Any]) -> None:
        whole = {**closed(schema), "components": {"schemas": self._components}}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(value)
