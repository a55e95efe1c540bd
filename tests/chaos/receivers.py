"""A campaign's receivers: good ones, which must be told everything, beside bad ones, which must hold up nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import text

from domain.event import NAMED_ONLY
from tests.acceptance.facts import RECEIVER
from tests.acceptance.system import System

#: Moods are the first one's alone: whatever the second one lacks is lost by our doing.
GOOD = (RECEIVER, "second")
#: How each bad one answers, always. Hanging: for longer than a webhook may take.
BAD: Mapping[str, Mapping[str, Any]] = {
    "bad-hanging": {"delay_seconds": 20, "status": 500},
    "bad-slow": {"delay_seconds": 6, "status": 204, "keep": True},
    "bad-failing": {"status": 500},
    "bad-gone": {"status": 410},
}
DEAD_NAME = "bad-dead.invalid"  #: no name server knows it
#: What bad ones are told of: the end of every invoice, which is plenty.
BAD_EVENTS = ("invoice.paid", "invoice.expired")
#: Their ids; what waits for them waits for good.
BAD_ENDPOINTS = "SELECT id FROM endpoint WHERE url LIKE '%bad-%'"


def add_receivers(system: System, base_url: str) -> None:
    """All of them; ``base_url``: of what stands before the sandbox."""
    for name in GOOD:
        system.add_receiver(base_url, name)
    for name, answer in BAD.items():
        system.ask(f"{system.sandbox.receiver_url(name)}/faults", answer)
        system.add_receiver(base_url, name, "--events", ",".join(BAD_EVENTS))
    # A name that does not resolve is not taken by the command: it dies afterwards.
    dead = system.add_receiver(base_url, "bad-dead", "--events", ",".join(BAD_EVENTS))
    with system.engine.begin() as connection:
        statement = text("UPDATE endpoint SET url = :url WHERE id = :id")
        connection.execute(statement, {"url": f"http://{DEAD_NAME}/hook", "id": dead})


def untold(system: System, undone: set[str]) -> Iterator[str]:
    """What good receivers lack, or had out of order. ``undone``: events of a log that was put back since."""
    log = Counter(told["id"] for told in system.events() if told["type"] not in NAMED_ONLY)
    for name in GOOD:
        url = system.sandbox.receiver_url(name)
        got = Counter(envelope["id"] for envelope in system.ask(f"{url}/events"))
        yield from (f"{name}: {event}: never received" for event in sorted(log - got))
        yield from (f"{name}: {event}: received, and in no log" for event in sorted((got - log).keys() - undone))
        yield from _complaints(name, system.ask(url), "invalid", "gaps", "out_of_order")
    yield from _complaints("bad-slow", system.ask(system.sandbox.receiver_url("bad-slow")), "invalid", "out_of_order")


def _complaints(name: str, counts: Mapping[str, Any], *kinds: str) -> Iterator[str]:
    for kind in kinds:
        if counts[kind]:
            yield f"{name}: {kind}: {counts[kind]}, {counts['notes'][:3]} {counts['invalid_reasons']}"


def dropped(system: System) -> Iterator[str]:
    """What waits for a bad receiver is kept: a delivery for each event that it wants."""
    wanted = ", ".join(f"'{kind}'" for kind in BAD_EVENTS)
    query = (
        f"SELECT endpoint.url, event.id FROM endpoint CROSS JOIN event LEFT JOIN delivery "
        f"ON delivery.endpoint_id = endpoint.id AND delivery.event_number = event.number "
        f"WHERE endpoint.id IN ({BAD_ENDPOINTS}) AND event.type IN ({wanted}) AND delivery.id IS NULL"
    )
    yield from (f"{row['url']}: {row['id']} is not kept for it" for row in system.rows(query))
