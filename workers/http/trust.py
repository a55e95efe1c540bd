"""Whose certificates calls to providers and webhooks trust."""

from __future__ import annotations

import functools
import os
import ssl

import httpx


def public_tls() -> ssl.SSLContext:
    """Trusts httpx's bundle (slim images have no other) and the system's store (where private authorities are put).

    OpenSSL's variables say where the latter is: a file by ``SSL_CERT_FILE``, a folder by ``SSL_CERT_DIR``. A process
    reads them once, a tenth of a second's work; nobody may change what is returned.
    """
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _read(file: str | None, folder: str | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
