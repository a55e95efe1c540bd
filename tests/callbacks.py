"""Callbacks as Nebulox would send them: signed over the very bytes, over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

KEY = "sandbox-nebulox-key"


def sign(body: bytes, key: str = KEY) -> str:
    """The value of X-Hash."""
    return hmac.digest(key.encode(), body, hashlib.sha256).hex()


def nebulox_callback(order_id: Any, status: Any = "COMPLETED", **fields: Any) -> bytes:
    """A body as the later documents have it; a field given as None is left out."""
    given = {
        "orderId": order_id,
        "txId": "cf2e" * 16,
        "amount": "6.9",
        "confirmations": 1,
        "status": status,
        "type": "INVOICE",
        "coin": "BTC",
        "network": "Bitcoin",
        "trackingCode": 10_000,
        "isWallet": False,
    }
    return json.dumps({name: value for name, value in (given | fields).items() if value is not None}).encode()


def post(url: str, body: bytes, headers: Sequence[tuple[str, str]] | None = None, key: str = KEY) -> tuple[int, bytes]:
    """Post to a web process; ``headers`` None: signed with ``key``. The status and the answer's body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.putrequest("POST", parts.path)
        for name, value in [("X-Hash", sign(body, key))] if headers is None else headers:
            connection.putheader(name, value.encode("utf-8") if not value.isascii() else value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
