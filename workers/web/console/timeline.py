"""An invoice's history as lines to look at, newest first: evidence, what was decided by it, events and the tries to
deliver them, what operators did. Pure: everything is in the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from domain.exact_json import read_json
from workers.store.acts import Act
from workers.store.endpoints import Endpoint
from workers.store.reads.record import Record
from workers.web.console.line import Line
from workers.web.console.pieces import amount, foreign, link, words
from workers.web.console.said_lines import decision_lines, evidence_lines
from workers.web.console.told_lines import attempt_lines, event_lines

#: In one instant, oldest first: an order, what was said, what came of it, who was told.
_RANK = {name: rank for rank, name in enumerate(("order", "operators", "evidence", "decisions", "events", "attempts"))}
#: From this many on, look-ups in a row that changed nothing are one line.
FOLDED_FROM = 3


def lines_of(record: Record, endpoints: Mapping[str, Endpoint]) -> list[Line]:
    """All of it, newest first. ``endpoints``: those that may be told of, by id."""
    made = [*_order(record), *evidence_lines(record), *decision_lines(record)]
    made += [*event_lines(record, endpoints), *attempt_lines(record, endpoints), *_acts(record)]
    return sorted(made, key=lambda line: (line.at, _RANK[line.tab]), reverse=True)


def folded(lines: Sequence[Line], record: Record) -> list[Line]:
    """As all of it is shown at once: tries of what was delivered are in their event's line, and look-ups in a row that
    changed nothing are one."""
    done = {f"d{delivery.id}" for delivery, _ in record.deliveries if delivery.shown_state == "delivered"}
    left = [line for line in lines if line.tab != "attempts" or line.name.partition("-")[0] not in done]
    shown: list[Line] = []
    for is_idle, run in groupby(left, key=_is_idle):
        found = list(run)
        shown += [_fold(found)] if is_idle and len(found) >= FOLDED_FROM else found
    return shown


def _is_idle(line: Line) -> bool:
    return line.badge == "look-up" and line.verdict == "noted" and not line.tone


def _fold(run: Sequence[Line]) -> Line:
    count = sum(1 + line.repeats for line in run)
    return replace(
        run[-1], pieces=(), raw=None, folded=run, count=count, last_at=run[0].last_at or run[0].at, repeats=0
    )


def _order(record: Record) -> Iterator[Line]:
    invoice = record.invoice
    price = [amount(invoice.price, invoice.currency)] if invoice.price is not None else []
    pieces = [words("for the account"), foreign(invoice.account), *price]
    yield Line(at=invoice.created_at, tab="order", name="order", icon="tray", title="Order taken", pieces=pieces)


ACTS: Mapping[str, str] = {
    Act.MARK: "marked it",
    Act.CANCEL: "cancelled it",
    Act.RECHECK: "had it looked up",
    Act.CREATE_AGAIN: "had it created again",
    Act.REPLAY: "replayed events",
    Act.UNPARK: "had it taken up again",
    Act.LINK: "linked a callback with it",
    Act.DISMISS: "dismissed a callback",
}


def _acts(record: Record) -> Iterator[Line]:
    for row in record.acts:
        after = read_json(row.after) if row.after else {}
        origin = [words("from"), foreign(row.origin)] if record.shows_origins else []
        marked = after.get("marked_as") if isinstance(after, dict) else None
        yield Line(
            at=row.at,
            tab="operators",
            name=f"o{row.id}",
            icon="operator",
            who=row.by,
            pieces=[words(ACTS.get(row.act, row.act)), *([words("as"), words(str(marked))] if marked else [])],
            quote=row.reason,
            aside=[
                *(origin if record.shows_origins else ()),
                link("audit", f"/console/audit?invoice={row.invoice_id}"),
            ],
        )
