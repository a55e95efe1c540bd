"""kombu's Redis transport for workers, with the window closed in which a killed worker loses a message.

kombu pops a message (BRPOP) and records it as unacknowledged in a second step; a worker killed between the two loses
it. Here one script records first and pops last. Everything else is kombu's: the lists, the names of keys, the shape of
records, the messages themselves. So producers keep kombu's own transport, and stock workers may run beside ours.

Only worker processes use it: ``install`` puts it in place of kombu's in this process. It depends on private parts of
kombu, all in ``private.py``: each new minor release must be read first, and the contract tests run against it.
"""

from __future__ import annotations

from workers.transport.private import MissingHookError, add_transports, check_versions

__all__ = ["MissingHookError", "install", "register"]

PLAIN = "workers.transport.transport:Transport"
SENTINEL = "workers.transport.transport:SentinelTransport"

#: By the scheme of a broker's URL. Named, not imported: redis-py is loaded when a worker connects.
IN_PLACE_OF = {
    "redis": PLAIN,
    "rediss": PLAIN,
    "sentinel": SENTINEL,
    "amqp": "workers.transport.amqp:Transport",
    "pyamqp": "workers.transport.amqp:Transport",
    "amqps": "workers.transport.amqp:SSLTransport",
}
#: Names of its own, to use it beside kombu's: ``safe-redis://…``, ``safe-redis+socket:///…``.
BESIDE = {"safe-redis": PLAIN}


def register() -> None:
    """Make the transport available under names of its own."""
    add_transports(BESIDE)


def install() -> None:
    """From now on this process reaches every broker through these transports. Raises MissingHookError."""
    check_versions()
    register()
    add_transports(IN_PLACE_OF)
