"""How many files, connections are such too, this process may have open."""

from __future__ import annotations

import contextlib
import resource

#: The usual limit of 1,024 is for programs that use select(2); a busy worker may have more connections than that.
WANTED = 4096
WEBHOOKS = 1024  #: to all endpoints together, at most; ten slow ones hold up no other


def raise_limit() -> None:
    """Take as many as the host allows, up to ``WANTED``; where it does not, things stay as they are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def webhook_connections() -> int:
    """Connections for webhooks: half of what may be open, the rest is for providers, databases and brokers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WEBHOOKS if soft == resource.RLIM_INFINITY else max(1, min(WEBHOOKS, soft // 2))
