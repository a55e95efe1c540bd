"""What was said about an invoice, and what was decided by it, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from domain.evidence import Source
from domain.exact_json import read_json
from domain.status import Status
from workers.store.acts import Act
from workers.store.callbacks import MATCHED
from workers.store.reads.record import Record
from workers.store.rows import StoredRow
from workers.web.console.line import Line, raw_of
from workers.web.console.pieces import COMMA, FAILED, Piece, Pieces, amount, foreign, pieces_of, time, words

#: An act and the evidence that it is are written by one transaction, the act a little later.
SAME_ACT = timedelta(seconds=5)

_BADGES: Mapping[str | None, tuple[str, str]] = {
    Source.CREATE: ("call", "out"),
    Source.LOOK_UP: ("look-up", "both"),
    Source.SEARCH: ("search", "both"),
    Source.CALLBACK: ("callback", "in"),
    Source.SHOP: ("shop", "in"),
    Source.OPERATOR: ("operator", "operator"),
    Source.CLOCK: ("clock", "waits"),
}
_ACT_OF = {
    "Marked": Act.MARK,
    "RecheckRequested": Act.RECHECK,
    "RetryRequested": Act.CREATE_AGAIN,
    "CancelRequested": Act.CANCEL,
}


def evidence_lines(record: Record) -> Iterator[Line]:
    """Answers, callbacks and what else was said."""
    callbacks = {row.id: row for row in record.callbacks}
    for row in record.evidence:
        if row.kind in _ACT_OF and _is_act(record, row):
            continue
        called = _callback_of(row, callbacks) if row.kind == "CalledBack" else None
        if called is not None:
            del callbacks[called.id]
            yield replace(_said(row), at=called.at, raw=raw_of("callback", called.id, bytes(called.body)))
        else:
            yield _said(row)
    for row in callbacks.values():
        yield _called(row)


def _said(row: StoredRow) -> Line:
    badge, icon = _BADGES.get(row.source, ("evidence", "in"))
    return Line(
        at=row.at,
        tab="evidence",
        name=f"e{row.id}",
        icon=icon,
        badge=badge,
        pieces=pieces_of(row),
        tone="bad" if row.kind in FAILED else "",
        verdict=row.verdict,
        repeats=row.repeats or 0,
        last_at=row.last_at,
        raw=raw_of("evidence", row.id, row.raw.encode("utf-8", "replace")) if row.raw else None,
        quote=row.note if row.verdict != "contradiction" else None,
    )


def _called(row: StoredRow) -> Line:
    """A callback that nobody has judged, or that changed nothing."""
    pieces = [foreign(row.word or "?")]
    pieces += [COMMA, words("received"), amount(row.amount)] if row.amount is not None else []
    pieces += [COMMA, words("reference"), foreign(row.reference)] if row.reference else []
    pieces += [COMMA, words(_CALLED.get(row.state, row.state), "warn")] if row.state != MATCHED else []
    raw = raw_of("callback", row.id, bytes(row.body))
    return Line(
        at=row.at,
        tab="evidence",
        name=f"c{row.id}",
        icon="in",
        badge="callback",
        pieces=pieces,
        raw=raw,
        quote=row.reason,
    )


_CALLED = {"new": "not judged yet", "unmatched": "matches no invoice", "dismissed": "dismissed by hand"}


def _callback_of(evidence: StoredRow, callbacks: Mapping[int, StoredRow]) -> StoredRow | None:
    """The callback that this evidence is: the newest before it that says the same word."""
    word = read_json(evidence.detail).get("word")
    known = [row for row in callbacks.values() if row.word == word and row.at <= evidence.at and row.state == MATCHED]
    return known[-1] if known else None


def _is_act(record: Record, row: StoredRow) -> bool:
    """Whether an operator's line says it already."""
    act = _ACT_OF[row.kind]
    return any(one.act == act and timedelta(0) <= one.at - row.at <= SAME_ACT for one in record.acts)


def decision_lines(record: Record) -> Iterator[Line]:
    """What the invoice became, and what was held against it."""
    for row in record.evidence:
        if row.verdict == "contradiction":
            yield _unmoved(record, row)
    doubt = next((row for row in record.evidence if row.kind == "InDoubt" and row.verdict == "applied"), None)
    if doubt is not None:
        yield _doubted(record, doubt)
    for event in record.events:
        data = read_json(bytes(event.body)).get("data") or {}
        if event.type != "invoice.contradiction" and data.get("status"):
            yield _decided(record, event, data)


def _decided(record: Record, event: StoredRow, data: Mapping[str, object]) -> Line:
    after = str(data["status"])
    by = [row for row in record.evidence if row.at == event.created_at and row.verdict == "applied"]
    sources = [[words("told by"), words(_BADGES.get(row.source, ("evidence", ""))[0])] for row in by[:1]]
    return Line(
        at=event.created_at,
        tab="decisions",
        name=f"s{event.number}",
        icon=after,
        before=str(data.get("previous_status") or "") or None,
        after=after,
        anomaly=str(data["anomaly"]) if data.get("anomaly") else None,
        pieces=_joined([*_why(after, data), *sources]),
    )


def _why(after: str, data: Mapping[str, object]) -> list[list[Piece]]:
    """What speaks for it, clause by clause."""
    clauses: list[list[Piece]] = []
    paid, asked, unit = data.get("paid_amount"), data.get("pay_amount"), data.get("pay_currency")
    if after == Status.PENDING and asked:
        until = [words("until"), time(str(data["expires_at"]))] if data.get("expires_at") else []
        clauses.append([words("to pay:"), amount(asked, unit), *until])
    elif paid and asked:
        clauses.append([amount(paid), words("of"), amount(asked, unit), words("received")])
    elif paid:
        clauses.append([amount(paid, unit), words("received")])
    if after == Status.EXPIRED and data.get("expires_at"):
        clauses.append([words("its time to pay ended at"), time(str(data["expires_at"]))])
    if data.get("reason"):
        clauses.append([foreign(data["reason"])])
    return clauses


def _joined(clauses: Sequence[Pieces]) -> list[Piece]:
    return [piece for place, clause in enumerate(clauses) for piece in ([COMMA, *clause] if place else clause)]


def _doubted(record: Record, row: StoredRow) -> Line:
    return Line(
        at=row.at,
        tab="decisions",
        name=f"s-doubt-{row.id}",
        icon=Status.IN_DOUBT,
        before=Status.QUEUED,
        after=Status.IN_DOUBT,
        pieces=[words("the create got no answer, so an invoice may exist there")],
    )


def _unmoved(record: Record, row: StoredRow) -> Line:
    return Line(
        at=row.at,
        tab="decisions",
        name=f"s-against-{row.id}",
        icon="person",
        title="Contradiction: nothing changes",
        tone="warn",
        pieces=[foreign(row.note)] if row.note else [],
    )
