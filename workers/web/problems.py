"""Errors as RFC 9457 has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response

#: Of a problem's ``type``, before the name of its kind.
TYPE_PREFIX = "urn:invoices:problem:"
NO_PAGE = "nothing is served here"


class Problem(Exception):  # noqa: N818 - reads as what is answered
    """What is answered instead of what was asked for.

    ``kind``: the name in ``type``, where the status alone does not say what happened. ``errors``: wrong parts of the
    request, each with a ``detail`` and a ``pointer``. ``more``: further members.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self._type = "about:blank" if kind is None else f"{TYPE_PREFIX}{kind}"
        self._title = title or HTTPStatus(status).phrase
        self._detail = detail
        self._more = more | ({"errors": list(errors)} if errors else {})

    def content(self) -> dict[str, object]:
        """The document."""
        document = {"type": self._type, "title": self._title, "status": self.status, "detail": self._detail}
        return document | self._more

    def answer(self) -> Response:
        """The response."""
        return _answer(self.status, self.content(), self.headers)


def problem(status: int, detail: str = "", headers: dict[str, str] | None = None, **more: object) -> Response:
    """An ``application/problem+json`` answer. ``more``: further members."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        content["detail"] = detail
    return _answer(status, content | more, headers)


def _answer(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None) -> Response:
    body = json.dumps(content, separators=(",", ":"))
    return Response(body, status, headers, media_type="application/problem+json")
