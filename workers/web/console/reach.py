"""What acts of the console need beside the store: the guard of addresses and the seal of secrets, whoever carries out
replays, and the broker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from workers.store.operate.redrive import Send
from workers.web.api.endpoints import Webhooks


class BrokerAway(Exception):  # noqa: N818 - reads as what happened
    """The broker does not take a message; what was not sent waits where it was. The text is one line for people."""


@dataclass(frozen=True, slots=True)
class Reach:
    """All of it. ``open_broker``: how messages are sent, as long as it is open; sending raises BrokerAway."""

    webhooks: Webhooks
    wake_replays: Callable[[], None]
    open_broker: Callable[[], AbstractContextManager[Send]]
