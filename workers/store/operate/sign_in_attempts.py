"""How many failed sign-ins there may be: for each name, and for each address that they come from; by the database, for
all web processes together.

A row says when all that was tried is forgotten. Each attempt puts that moment off; one that would put it off too far is
refused. Of names and addresses only a hash is kept: what was typed as a name may be a password.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from workers.store.bulk import insert_into, insert_rows
from workers.store.database import Database
from workers.store.tables import ATTEMPTED

#: Failed ones at once, and how long it takes until there may be one more.
OF_NAME, OF_ADDRESS = (5, timedelta(seconds=12)), (20, timedelta(seconds=3))
#: After a sign-in from somewhere, its name has a counter of its own there for this long.
WELCOME = timedelta(days=30)
#: How many rows that no longer count are removed with each attempt.
MOST_REMOVED = 100
_Limit = tuple[int, timedelta]


class Attempts:
    """A sign-in is counted before the password is looked at, and given back if it was right: so there is no gap for
    many at the same time. ``now``: the time by a connection; None: the database's."""

    def __init__(self, database: Database, now: Callable[[Connection], datetime] | None = None) -> None:
        self._database = database
        self._now = now or database.now

    def take(self, name: str | None, address: str) -> float:
        """Count one, of a name where there is one; 0, or for how many seconds there may be no other. A name that
        somebody else tries from elsewhere stays open to whoever signed in with it before, from where they did."""
        with self._database.transaction() as connection:
            now = self._now(connection)
            limits = self._limits(connection, now, name, address)
            wait = _wait(_read(connection, limits), limits, now)
            if wait > 0:
                return wait  # nothing is written for a flood
            self._remove_old(connection, now)
            insert_rows(connection, ATTEMPTED, [{"key": key, "until": now} for key in sorted(limits)], conflict="skip")
            kept = _read(connection, limits, locked=True)
            wait = _wait(kept, limits, now)
            for key, (_, each) in limits.items() if wait <= 0 else ():
                _write(connection, key, max(kept.get(key, now), now) + each)
            return wait

    def give_back(self, name: str | None, address: str) -> None:
        """It did not fail."""
        with self._database.transaction() as connection:
            self._give_back(connection, self._limits(connection, self._now(connection), name, address))

    def welcome(self, name: str, address: str) -> None:
        """The password was right."""
        with self._database.transaction() as connection:
            now = self._now(connection)
            self._give_back(connection, self._limits(connection, now, name, address))
            known = _key("welcome", name, network_of(address))
            _write(connection, known, now + WELCOME)

    def _give_back(self, connection: Connection, limits: Mapping[str, _Limit]) -> None:
        for key, until in sorted(_read(connection, limits, locked=True).items()):
            _write(connection, key, until - limits[key][1])

    def _limits(self, connection: Connection, now: datetime, name: str | None, address: str) -> Mapping[str, _Limit]:
        network = network_of(address)
        of_address = {_key("address", network): OF_ADDRESS}
        if name is None:
            return of_address
        known = _key("welcome", name, network)
        until = connection.scalar(select(ATTEMPTED.c.until).where(ATTEMPTED.c.key == known))
        is_known = until is not None and until > now
        return {_key("name", name, network if is_known else ""): OF_NAME, **of_address}

    @staticmethod
    def _remove_old(connection: Connection, now: datetime) -> None:
        old = select(ATTEMPTED.c.key).where(ATTEMPTED.c.until < now).limit(MOST_REMOVED)
        connection.execute(delete(ATTEMPTED).where(ATTEMPTED.c.key.in_(old.with_for_update(skip_locked=True))))


def network_of(address: str) -> str:
    """Whose attempts count together: with IPv6 a subscriber has a whole network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def _read(connection: Connection, limits: Mapping[str, _Limit], *, locked: bool = False) -> dict[str, datetime]:
    """When each key's attempts are forgotten. Locked in the order of keys, so that transactions can't deadlock."""
    query = select(ATTEMPTED.c.key, ATTEMPTED.c.until).where(ATTEMPTED.c.key.in_(sorted(limits)))
    ordered = query.order_by(ATTEMPTED.c.key)
    rows = connection.execute(ordered.with_for_update() if locked else ordered)
    return {row.key: row.until for row in rows}


def _wait(kept: Mapping[str, datetime], limits: Mapping[str, _Limit], now: datetime) -> float:
    waits = [max(kept.get(key, now), now) + each - now - most * each for key, (most, each) in limits.items()]
    return max(0.0, max(waits).total_seconds())


def _write(connection: Connection, key: str, until: datetime) -> None:
    """Also where somebody has removed the row meanwhile."""
    written = insert_into(connection, ATTEMPTED).values(key=key, until=until)
    connection.execute(written.on_conflict_do_update(index_elements=["key"], set_={"until": until}))


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
