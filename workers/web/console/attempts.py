"""How many failed sign-ins there may be: for each name, and for each address that they come from."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

#: Failed ones at once, and how long it takes until there may be one more.
OF_NAME, OF_ADDRESS = (5, 12.0), (20, 3.0)
#: Counters that are kept; beyond that the one used longest ago goes.
MOST_KEPT = 10_000


class Attempts:
    """Counters in memory, of this process. A sign-in takes from them before the password is looked at, and gives back
    when it was right: so many at the same time find no gap."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()  #: by whom: how many, and when
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()

    def take(self, name: str | None, address: str) -> float:
        """Count one, of a name where there is one; 0, or for how many seconds there may be no other. A name that
        somebody else tries from elsewhere stays open to whoever signed in with it before, from where they did."""
        counters = self._counters(name, address)
        wait = max(self._wait(key, most, each) for key, (most, each) in counters)
        if wait <= 0:
            self._add(counters, 1)
        return wait

    def give_back(self, name: str | None, address: str) -> None:
        """It did not fail."""
        self._add(self._counters(name, address), -1)

    def welcome(self, name: str, address: str) -> None:
        """The password was right."""
        self.give_back(name, address)
        pair = (name, _network_of(address))
        self._welcome[pair] = None
        self._welcome.move_to_end(pair)
        if len(self._welcome) > MOST_KEPT:
            self._welcome.popitem(last=False)

    def _counters(self, name: str | None, address: str) -> Sequence[tuple[str, tuple[int, float]]]:
        network = _network_of(address)
        of_address = (f"address {network}", OF_ADDRESS)
        if name is None:
            return (of_address,)
        is_known = (name, network) in self._welcome
        return ((f"name {name} {network if is_known else ''}", OF_NAME), of_address)

    def _count(self, key: str, each: float) -> float:
        count, at = self._used.get(key, (0.0, 0.0))
        return max(0.0, count - (self._clock() - at) / each)

    def _wait(self, key: str, most: int, each: float) -> float:
        return max(0.0, (self._count(key, each) + 1 - most) * each)

    def _add(self, counters: Sequence[tuple[str, tuple[int, float]]], more: int) -> None:
        for key, (_, each) in counters:
            self._used[key] = (max(0.0, self._count(key, each) + more), self._clock())
            self._used.move_to_end(key)
        while len(self._used) > MOST_KEPT:
            self._used.popitem(last=False)


def _network_of(address: str) -> str:
    """Whose attempts count together: with IPv6 a subscriber has a whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
