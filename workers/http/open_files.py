"""How many files this process may have open. Connections count as files."""

from __future__ import annotations

import contextlib
import resource

#: The usual limit of 1,024 is meant for programs that use select(2). A busy worker may have more connections.
WANTED = 4096
WEBHOOKS = 1024  #: connections to all endpoints together, at most; enough that ten slow ones hold up no other


def raise_limit() -> None:
    """Raise the limit to ``WANTED``, or as far as the host allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def webhook_connections() -> int:
    """How many connections webhooks may use: half of the limit; the rest is for providers, databases and brokers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WEBHOOKS if soft == resource.RLIM_INFINITY else max(1, min(WEBHOOKS, soft // 2))
