"""Standard Webhooks 1.0 signatures: ``v1,<base64 of HMAC-SHA256 over id.timestamp.body>``."""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import secrets as random_source
from collections.abc import Sequence

PREFIX = "whsec_"
KEY_BYTES = 32


def new_secret() -> str:
    """A fresh endpoint secret: ``whsec_`` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(random_source.token_bytes(KEY_BYTES)).decode()


def sign(secrets: Sequence[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: one ``v1,…`` per secret, separated by spaces.

    Several secrets sign while one is rotated out. ``timestamp`` is in epoch seconds (the ``webhook-timestamp``).
    Raises ValueError (which never shows the secret) when there is no secret, or one is not ``whsec_`` and base64.
    """
    if not secrets:
        raise ValueError("secrets: at least one is needed to sign")
    content = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join([_sign_with(_key_of(secret), content) for secret in secrets])


def _sign_with(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()


@functools.lru_cache(256)
def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or not secret.startswith(PREFIX):
        raise ValueError("secrets: an endpoint secret is not whsec_ and base64") from None
    return key
