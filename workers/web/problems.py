"""Errors as RFC 9457 has them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response


def problem(status: int, detail: str = "", headers: dict[str, str] | None = None, **more: Any) -> Response:
    """An ``application/problem+json`` answer; ``more`` are further members."""
    content = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        content["detail"] = detail
    body = json.dumps(content | more, separators=(",", ":"))
    return Response(body, status, headers, media_type="application/problem+json")
