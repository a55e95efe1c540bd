"""What lies beyond the store, for tests: a broker and a Redis that note what they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.console.receivers import BOX
from workers.http.address import AddressGuard
from workers.store.operate.redrive import Send
from workers.web.api.endpoints import Webhooks
from workers.web.console.reach import BrokerAway, Reach


@dataclass
class Outside:
    """Receivers may be on this machine."""

    reset: list[str] = field(default_factory=list)  #: endpoints whose breakers were reset
    woken: int = 0  #: how often whoever carries out replays was woken
    sent: list[tuple[str, str]] = field(default_factory=list)  #: messages that the broker has
    broker_away: bool = False

    @property
    def reach(self) -> Reach:
        return Reach(Webhooks(AddressGuard("127.0.0.1"), lambda: BOX, self.reset.append), self._wake, self._open_broker)

    def _wake(self) -> None:
        self.woken += 1

    @contextmanager
    def _open_broker(self) -> Iterator[Send]:
        def send(task: str, text: str) -> None:
            if self.broker_away:
                raise BrokerAway("the broker can't be reached")
            self.sent.append((task, text))

        yield send
