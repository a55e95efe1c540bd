"""Who was told of an invoice's changes, and how that went, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

from workers.store.acts import bare_url
from workers.store.endpoints import Endpoint
from workers.store.reads.record import Record, Tried
from workers.store.rows import StoredRow
from workers.web.console.line import Line, raw_of
from workers.web.console.pieces import COMMA, Piece, foreign, link, words

LONGEST_NAME = 48


def event_lines(record: Record, endpoints: Mapping[str, Endpoint]) -> Iterator[Line]:
    """Events, with where each is."""
    of: dict[int, list[Tried]] = {}
    for tried in record.deliveries:
        of.setdefault(tried[0].event_number, []).append(tried)
    for event in record.events:
        told = [] if event.published_at else [COMMA, words("not on the stream yet", "warn")]
        numbered = [words("event"), words(str(event.sequence))]
        yield Line(
            at=event.created_at,
            tab="events",
            name=f"v{event.number}",
            icon="letter",
            title=event.type,
            pieces=[*numbered, *told, *_delivered(of.get(event.number, ()), endpoints)],
            raw=raw_of("event", event.number, bytes(event.body)),
            aside=[link(f"{event.id[:16]}…", f"/console/deliveries?event={event.id}")],
        )


def _delivered(deliveries: Sequence[Tried], endpoints: Mapping[str, Endpoint]) -> list[Piece]:
    """Where it is, where it is not yet, and where it was given up."""
    pieces: list[Piece] = []
    for state, text, tone in _STATES:
        found = [delivery for delivery, _ in deliveries if delivery.shown_state == state]
        if found:
            named = [[COMMA, _endpoint(one.endpoint_id, endpoints)] for one in found]
            pieces += [COMMA, words(text, tone), *[piece for one in named for piece in one][1:]]
    return pieces


_STATES = (
    ("delivered", "delivered to", "ok"),
    ("due", "on its way to", ""),
    ("parked", "waits, its endpoint is disabled:", "warn"),
    ("dead", "given up for", "bad"),
)


def _endpoint(endpoint_id: str, endpoints: Mapping[str, Endpoint]) -> Piece:
    return link(name_of(endpoints.get(endpoint_id), endpoint_id), f"/console/endpoints/{endpoint_id}")


def name_of(endpoint: Endpoint | None, endpoint_id: str) -> str:
    """A receiver's address, short, and without what may authorise."""
    if endpoint is None:
        return endpoint_id
    bare = bare_url(endpoint.url).partition("://")[2].partition("?")[0]
    return bare if len(bare) <= LONGEST_NAME else f"{bare[: LONGEST_NAME - 1]}…"


def attempt_lines(record: Record, endpoints: Mapping[str, Endpoint]) -> Iterator[Line]:
    """Each try of each delivery."""
    for delivery, tries in record.deliveries:
        for place, row in enumerate(tries):
            number = delivery.tries - (len(tries) - 1 - place)  # a replay counts anew
            came = row.outcome == "delivered"
            yield Line(
                at=row.at,
                tab="attempts",
                name=f"d{delivery.id}-{row.id}",
                icon="ok" if came else "bad",
                tone="ok" if came else "bad",
                pieces=[
                    _endpoint(delivery.endpoint_id, endpoints),
                    COMMA,
                    foreign(delivery.type),
                    COMMA,
                    *([words("try"), words(str(number))] if number > 0 else [words("before the replay")]),
                    _answer(row),
                ],
                raw=raw_of("attempt", row.id, bytes(row.answer)) if row.answer else None,
                milliseconds=row.latency_ms,
            )


def _answer(row: StoredRow) -> Piece:
    tone = "ok" if row.outcome == "delivered" else "bad"
    if row.status is not None:
        phrase = HTTPStatus(row.status).phrase if row.status in set(HTTPStatus) else ""
        return words(f"{row.status} {phrase}".strip(), tone)
    return Piece("foreign", row.error or row.outcome, tone)
