"""What a person may do with an invoice, what would come of it, and the command that does the same.

What would change is decided by the lifecycle itself, on the invoice as it stands: nothing is promised that the store
would not do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.decision import Decision
from domain.evidence import CancelRequested, Evidence, Marked, RecheckRequested, RetryRequested
from domain.lifecycle import decide
from domain.marks import CONFIRMED, MARKS
from domain.permissions import Action, Role, may
from domain.status import SILENT, Status
from workers.store.endpoints import Endpoint
from workers.store.reads.record import Record
from workers.store.store import Store
from workers.web.console.line import Line
from workers.web.console.person import Person
from workers.web.console.pieces import COMMA, Piece, Pieces, amount, foreign, words
from workers.web.console.told_lines import name_of

#: Receivers that are named one by one.
MOST_NAMED = 4
#: Receivers to choose from.
MOST_OFFERED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A status that it may be marked as, or why not."""

    status: Status
    will: Sequence[Pieces] = ()
    why_not: Pieces = ()
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A row of the panel. ``why_not``: it is not possible, or not allowed, and stays all the same."""

    name: str  #: of its address
    title: str
    action: Action
    is_allowed: bool
    why_not: Pieces = ()
    will: Sequence[Pieces] = ()
    command: str = ""
    needs_reason: bool = False
    marks: Sequence[Mark] = ()
    endpoints: Sequence[tuple[str, str]] = ()  #: ids and names
    aside: str = ""

    @property
    def is_possible(self) -> bool:
        return not self.why_not

    @property
    def roles(self) -> Sequence[str]:
        """Whose role allows it."""
        return [role.value for role in Role if may((role,), self.action)]


@dataclass(frozen=True, slots=True)
class Acting:
    """The invoice, who is told of its events, and who asks."""

    store: Store
    record: Record
    endpoints: Mapping[str, Endpoint]
    person: Person

    def acts(self, lines: Sequence[Line]) -> list[Act]:
        """All of them, those that change least first."""
        return [self._recheck(lines), self._mark(), self._create_again(), self._replay(), self._cancel()]

    def _would(self, evidence: Evidence) -> Decision:
        invoice = self.record.invoice
        return decide(invoice, evidence, self.store.policy_of(invoice.provider_account), self.record.now)

    def _act(self, name: str, title: str, action: Action, **fields: object) -> Act:
        return Act(name=name, title=title, action=action, is_allowed=self.person.may(action), **fields)  # type: ignore[arg-type]

    def _recheck(self, lines: Sequence[Line]) -> Act:
        would = self._would(RecheckRequested(reason="", by=""))
        asked = next((line.at for line in lines if line.badge == "look-up"), None)
        return self._act(
            "recheck",
            "Recheck",
            Action.RECHECK,
            why_not=() if would.verdict == "noted" else [foreign(would.note or f"it is {self._status}")],
            will=[
                [words("The provider is asked now; its answer is judged as ever")],
                [words("The status changes only if the answer says so")],
            ],
            command=f"invoices recheck {self.record.invoice.id} --reason REASON",
            aside="" if asked is None else asked.isoformat(),
        )

    def _mark(self) -> Act:
        marks = [self._mark_as(target) for target in MARKS]
        possible = [one for one in marks if not one.why_not]
        return self._act(
            "mark",
            "Mark by hand",
            Action.MARK,
            marks=marks,
            needs_reason=True,
            why_not=() if possible else [words("not possible: it is"), words(_spaced(self._status))],
        )

    def _mark_as(self, target: Status) -> Mark:
        would = self._would(Marked(status=target, reason="", by=self.person.name))
        command = f"invoices mark {self.record.invoice.id} {target.value} --reason REASON"
        if would.verdict == "noted" and (would.note or "").startswith(CONFIRMED):
            settles: Pieces = [words("Nothing changes; what was said against it is settled")]
            return Mark(status=target, will=[settles], command=command)
        if would.verdict != "applied":
            return Mark(status=target, why_not=[words("not possible: it is"), words(_spaced(self._status))])
        will = [self._moves(would), *self._tells(would)]
        if target is Status.PAID:
            will.append(_of_amounts(self.record, would))
            will.append([words("It can't be taken back, only marked as refunded")])
        else:
            will.append([words("It can't be taken back")])
        return Mark(status=target, will=will, command=command)

    def _cancel(self) -> Act:
        would = self._would(CancelRequested(reason=""))
        possible = would.verdict == "applied"
        will = [
            self._moves(would),
            *self._tells(would),
            [words("The provider is not told; a payment that comes all the same is kept as a contradiction")],
            [words("It can't be taken back")],
        ]
        return self._act(
            "cancel",
            "Cancel",
            Action.CANCEL,
            why_not=() if possible else [words("not possible: it is"), words(_spaced(self._status))],
            will=will if possible else (),
            command=f"invoices cancel {self.record.invoice.id} --reason REASON",
        )

    def _create_again(self) -> Act:
        would = self._would(RetryRequested(reason=""))
        invoice = self.record.invoice
        searchable = self.store.policy_of(invoice.provider_account).searchable
        first = (
            "The provider is searched for it once more; what is found is taken"
            if searchable
            else "The provider may have made it already: look there first, or the customer gets two addresses"
        )
        then = "If nothing is found, it is created again" if searchable else "It is created again at once"
        return self._act(
            "create-again",
            "Create again",
            Action.REDRIVE,
            why_not=() if would.verdict == "noted" else [words("only in doubt: it is"), words(_spaced(self._status))],
            will=[[words(first)], [words(then)]],
            command=f"invoices redrive doubt {invoice.id} --reason REASON",
        )

    def _replay(self) -> Act:
        events = [event for event in self.record.events if event.sequence]
        offered = [(one.id, name_of(one, one.id)) for one in self.endpoints.values() if self._is_for(one)]
        offered = offered[:MOST_OFFERED]
        why_not: Pieces = ()
        if not events:
            why_not = [words("there is no event yet")]
        elif not offered:
            why_not = [words("no endpoint takes its events")]
        newest = events[-1] if events else None
        return self._act(
            "replay",
            "Replay its events",
            Action.REPLAY,
            why_not=why_not,
            endpoints=offered,
            will=[
                [words("Events are sent once more with the ids that they had, so a receiver can tell")],
                [words("They have all their tries anew, in their order; what is sent to a disabled endpoint waits")],
                [words("The invoice itself does not change")],
            ],
            command=f"invoices deliveries replay {newest.id} --endpoint {offered[0][0]} --reason REASON"
            if newest and offered
            else "",
            aside=str(len(events)),
        )

    @property
    def _status(self) -> str:
        status: str = self.record.invoice.status
        return status

    def _is_for(self, endpoint: Endpoint) -> bool:
        return endpoint.accounts is None or self.record.invoice.account in endpoint.accounts

    def _moves(self, would: Decision) -> Pieces:
        after = str(would.changes.get("status", self._status))
        pieces = [Piece("status", self._status), words("→"), Piece("status", after)]
        if would.changes.get("anomaly"):
            pieces += [words("anomaly"), words(str(would.changes["anomaly"]))]
        return pieces

    def _tells(self, would: Decision) -> list[Pieces]:
        """The event, and who gets it as things stand."""
        if would.event is None or would.changes.get("status") in SILENT:
            return []
        told = [
            one
            for one in self.endpoints.values()
            if self._is_for(one) and one.wants(would.event) and one.disabled_at is None
        ]
        named = [piece for one in told[:MOST_NAMED] for piece in (COMMA, foreign(name_of(one, one.id)))][1:]
        if len(told) > MOST_NAMED:
            named += [words("and"), words(str(len(told) - MOST_NAMED)), words("more")]
        to = [words("is sent to"), *named] if told else [words("is written; no enabled endpoint takes it")]
        return [[words("The event"), foreign(would.event), *to]]


def _of_amounts(record: Record, would: Decision) -> Pieces:
    invoice = record.invoice
    if would.changes.get("anomaly") == "late" or invoice.pay_amount is None:
        return [words("The amount is kept as you tell it")]
    return [
        words("An amount below"),
        amount(invoice.pay_amount, invoice.pay_currency),
        words("makes it underpaid, one above overpaid; without one nothing is said of it"),
    ]


def _spaced(status: str) -> str:
    return status.replace("_", " ")
