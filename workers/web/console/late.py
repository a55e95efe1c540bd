"""What is late, and why, for people: a sentence for each cause, what happens next, where to go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.why import Cause, Why
from domain.why.person import needs_person
from domain.why.processes import WORKER
from domain.why.sentence import say
from domain.why.verdict import NEEDED, Late, Verdict
from domain.why.whose import Part
from workers.store.reads.gauges import COUNTED
from workers.store.reads.why.late import Overview

#: How many of the accounts or endpoints that a cause is about are named.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Words:
    """In English; the view translates. ``place``: the page where something can be done about it, by ``go``."""

    what: str
    next: str
    place: str | None = None
    go: str = ""
    #: Whether what is counted waits; otherwise it is only listed.
    waits: bool = True


WORDS: Mapping[Cause, Words] = {
    Cause.REJECTED_MESSAGE: Words(
        "Messages were rejected", "nothing until someone sends them again", "rejected", "Open rejected", waits=False
    ),
    Cause.CONTRADICTION: Words(
        "A source contradicts what is known",
        "nothing until someone decides",
        "contradictions",
        "Open contradictions",
        waits=False,
    ),
    Cause.PARKED: Words(
        "Whoever took it up was lost, too often: it is parked", "nothing until someone redrives it", "jobs", "Open jobs"
    ),
    Cause.KEY_REFUSED: Words(
        "The provider refuses the key", "tried again by itself; then orders fail", "accounts", "Open accounts"
    ),
    Cause.PROVIDER_REFUSES: Words(
        "Something before the provider lets no call through",
        "tried again by itself; then orders fail",
        "accounts",
        "Open accounts",
    ),
    Cause.NO_WORKER: Words(
        "No worker takes up what is due", "nothing until a worker runs", "settings", "Open settings"
    ),
    Cause.PROVIDER_UNREACHABLE: Words(
        "The provider does not answer", "asked again by itself", "accounts", "Open accounts"
    ),
    Cause.IN_DOUBT: Words(
        "In doubt: a create got no answer", "searched for or created again by itself", "doubts", "Open doubts"
    ),
    Cause.WEBHOOK_WAITS: Words(
        "Webhooks wait: their endpoint does not take them", "tried again by itself", "endpoints", "Open endpoints"
    ),
    Cause.STREAM_BEHIND: Words(
        "The stream has not been told of events",
        "told as soon as Redis answers",
        "settings",
        "Open settings",
        waits=False,
    ),
    Cause.WAITS_FOR_ACCOUNT: Words(
        "Orders wait for their turn at the account", "taken up as soon as there is room", "accounts", "Open accounts"
    ),
}
#: What happens next where only a part of what waits goes on by itself.
HELD = "nothing until someone decides about those that are held"
DISABLED = "nothing until someone enables the endpoint"


@dataclass(frozen=True, slots=True)
class Row:
    """One cause. ``count`` None: not told. ``names``: the accounts or endpoints it is about; ``more``: of others."""

    late: Late
    words: Words
    next: str
    count: int | None
    is_more: bool
    needs_person: bool
    names: Sequence[str]
    more: int


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in a sentence. ``what`` has a place for ``{count}`` where ``count`` is told."""

    verdict: Verdict
    what: str
    count: int | None
    is_more: bool
    since: datetime | None


def late_rows(overview: Overview, held: int, disabled: Collection[str]) -> list[Row]:
    """In the order of the causes. ``held``: invoices in doubt that a person decides about; ``disabled``: endpoints."""
    return [_row(overview, one, held, disabled) for one in overview.late if one.cause in WORDS]


def _row(overview: Overview, late: Late, held: int, disabled: Collection[str]) -> Row:
    names = _names([part for part in overview.parts if part.late.cause is late.cause])
    then = WORDS[late.cause].next
    stuck = late.cause is Cause.WEBHOOK_WAITS and bool(names) and set(names) <= set(disabled)
    if late.cause is Cause.IN_DOUBT and held:
        then = HELD
    elif stuck:
        then = DISABLED
    by_itself = None if stuck or (late.cause is Cause.IN_DOUBT and held) else then
    happens = None if by_itself is None else say(by_itself)
    why = Why(cause=late.cause, text=say(WORDS[late.cause].what), since=late.oldest_since, next=happens)
    return Row(
        late,
        WORDS[late.cause],
        then,
        late.count or None,
        late.count >= COUNTED,
        needs_person(why, overview.now),
        names[:NAMED],
        len(names[NAMED:]),
    )


def _names(parts: Sequence[Part]) -> list[str]:
    """Endpoints that don't take, or accounts where orders wait; the most first."""
    counted: dict[str, int] = {}
    for part in parts:
        name = part.endpoint or part.at
        if name is not None:
            counted[name] = counted.get(name, 0) + part.late.count
    return sorted(counted, key=lambda name: (-counted[name], name))


def headline(overview: Overview) -> Headline:
    """What is wrong with the whole, first of all."""
    late, crew = overview.late, overview.crew
    since = min((one.oldest_since for one in late if one.oldest_since is not None), default=None)
    if overview.verdict is Verdict.STALLED:
        if not crew.alive(WORKER):
            return Headline(overview.verdict, "no worker runs", None, False, crew.seen_at(WORKER))
        return Headline(overview.verdict, "work is due and nothing moves", None, False, crew.moved_at())
    if overview.verdict is Verdict.OK:
        return Headline(overview.verdict, "", None, False, None)
    waiting = [one for one in late if one.cause in WORDS and WORDS[one.cause].waits and one.count]
    count = sum(one.count - one.of_none for one in waiting)
    if count:
        is_more = any(one.count >= COUNTED for one in waiting)
        what = (
            "1 invoice waits longer than it should" if count == 1 else "{count} invoices wait longer than they should"
        )
        return Headline(overview.verdict, what, count, is_more, since)
    missed = crew.missed(NEEDED)
    if missed:
        return Headline(overview.verdict, _MISSED[missed[0]], None, False, crew.seen_at(missed[0]))
    return Headline(overview.verdict, _other(late), None, False, since)


def _other(late: Sequence[Late]) -> str:
    """A cause for which nothing waits."""
    causes = {one.cause for one in late}
    named = {
        Cause.CONTRADICTION: "a source contradicts what is known",
        Cause.STREAM_BEHIND: "the stream has not been told of events",
    }
    return next((words for cause, words in named.items() if cause in causes), "something waits longer than it should")


_ONE, _MANY = "1 invoice waits longer than it should", "{count} invoices wait longer than they should"
_MISSED = {
    "intake": "no intake runs: orders wait in the queue",
    "web": "no web process runs: callbacks can't come",
    WORKER: "no worker runs",
}
