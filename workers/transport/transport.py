"""The transports, which kombu loads by name, and the poller that renews leases."""

from __future__ import annotations

import structlog
from kombu.transport import redis

from workers.transport.channel import Channel, SentinelChannel

log = structlog.get_logger()


class Poller(redis.MultiChannelPoller):
    """kombu's, which also renews what its channels hold, whenever the event loop turns."""

    def on_poll_start(self) -> None:
        """Before each wait for events."""
        super().on_poll_start()
        self.maybe_restore_messages()

    def maybe_restore_messages(self) -> None:
        """Renew leases and bring messages back; each channel's QoS knows when that is due."""
        for channel in list(self._channels):
            try:
                channel.qos.restore_visible()
            except channel.connection_errors as error:
                # The next claim meets the same broken broker, and its error starts the reconnection.
                log.debug("broker.leases_not_renewed", error=str(error)[:200])


class Transport(redis.Transport):
    """kombu's Redis transport with atomic claims."""

    Channel = Channel

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()


class SentinelTransport(Transport):
    """The same behind Sentinel."""

    default_port = redis.SentinelTransport.default_port
    Channel = SentinelChannel
