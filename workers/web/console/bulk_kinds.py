"""What can be done to everything that matches a filter: who may, what it would change, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.evidence import Evidence
from domain.lifecycle import decide
from domain.marks import CONFIRMED
from domain.permissions import Action, Role, may
from domain.status import Status
from workers.store.acts import Act, Actor
from workers.store.bulk_jobs import CANCEL, CREATE_AGAIN, MARK, RECHECK, REPLAY
from workers.store.operate.invoices import Mark, evidence_of
from workers.store.rows import StoredRow
from workers.store.store import Store
from workers.web.console.person import Person


@dataclass(frozen=True, slots=True)
class Kind:
    """``one`` and ``many``: what its button says, ``{n}`` stands for how many; ``will``: what will change."""

    name: str
    title: str
    action: Action
    one: str
    many: str
    will: Sequence[str]
    command: str | None = None  #: for each id, which stands at its end

    @property
    def roles(self) -> str:
        """Whose role allows it."""
        return ", ".join(role.value for role in Role if may((role,), self.action))


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            RECHECK,
            "Recheck",
            Action.RECHECK,
            "Recheck 1 invoice",
            "Recheck {n} invoices",
            (
                "The provider is asked about each; its answers are judged as ever.",
                "Limits of the provider hold: many take a while.",
                "A status changes only if the answer says so.",
            ),
            "invoices recheck --reason REASON",
        ),
        Kind(
            CREATE_AGAIN,
            "Create again",
            Action.REDRIVE,
            "Create 1 invoice again",
            "Create {n} invoices again",
            (
                "Each that is in doubt is created again at its provider; one that can be searched is searched first.",
                "The provider may have made it the first time: then the customer may get a second address.",
            ),
            "invoices redrive doubt --reason REASON",
        ),
        Kind(
            REPLAY,
            "Replay events",
            Action.REPLAY,
            "Replay the events of 1 invoice",
            "Replay the events of {n} invoices",
            (
                "Their events are due at once at the endpoint, with all their tries; their ids stay the same.",
                "Each invoice's oldest goes first, so order is kept.",
                "No invoice changes.",
            ),
        ),
        Kind(
            CANCEL,
            "Cancel",
            Action.CANCEL,
            "Cancel 1 invoice",
            "Cancel {n} invoices",
            (
                "Each that is open becomes cancelled, and its event is sent; the reason is told in it.",
                "The provider is not told; a payment that comes all the same is kept as a contradiction.",
                "It can't be taken back.",
            ),
            "invoices cancel --reason REASON",
        ),
        Kind(
            MARK,
            "Mark by hand",
            Action.MARK,
            "Mark 1 invoice",
            "Mark {n} invoices",
            (
                "Each becomes what you say, and its event is sent; amounts stay as they are known.",
                "One that is so already stays it, and what was said against it is settled.",
                "It can't be taken back.",
            ),
            None,
        ),
    )
}
_ACTS = {CANCEL: Act.CANCEL, RECHECK: Act.RECHECK, CREATE_AGAIN: Act.CREATE_AGAIN, MARK: Act.MARK}


def kinds_of(person: Person) -> list[Kind]:
    """Those that the person may do."""
    return [kind for kind in KINDS.values() if person.may(kind.action)]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Of the newest that match: how many it would be done to, and how many it can't be done to, by their status."""

    looked_at: int
    possible: int
    impossible: Sequence[tuple[str, int]]


def foresee(store: Store, kind: Kind, rows: Sequence[StoredRow], mark: Mark | None) -> Foreseen | None:
    """What the lifecycle itself would make of it; None: of a replay nothing of an invoice changes."""
    if kind.name == REPLAY or (kind.name == MARK and mark is None):
        return None
    evidence, now = evidence_of(_ACTS[kind.name], Actor("", "", ""), mark), store.now()
    refused: Counter[str] = Counter()
    for row in rows:
        decision = decide(row, evidence, store.policy_of(row.provider_account), now)
        if not _is_done(kind.name, row, evidence, decision.verdict, decision.note):
            refused[row.status] += 1
    return Foreseen(len(rows), len(rows) - refused.total(), refused.most_common())


def _is_done(kind: str, row: StoredRow, evidence: Evidence, verdict: str, note: str | None) -> bool:
    if kind == RECHECK:
        return verdict == "noted"
    if kind == CREATE_AGAIN:
        return bool(row.status == Status.IN_DOUBT) and verdict not in {"ignored", "missing"}
    return verdict == "applied" or (verdict == "noted" and (note or "").startswith(CONFIRMED))
