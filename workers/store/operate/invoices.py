"""Mark, cancel, recheck one invoice, or have it created again. Judged like any other evidence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, select

from domain.evidence import CancelRequested, Evidence, Marked, RecheckRequested, RetryRequested
from domain.marks import CONFIRMED
from domain.money import format_amount
from domain.status import Status
from workers.store.acts import Act, Actor, Deed, Values, record
from workers.store.judging import Judgement, Outcome
from workers.store.queries import Wanted, list_invoices
from workers.store.store import Store
from workers.store.tables import INVOICE, PAYMENT

#: What a mark or a cancellation says where the operator gave no reason.
BY_HAND = "by hand"
#: Verdicts on evidence that changed nothing: no act is recorded.
_IDLE = {"ignored", "missing"}


#: The sequences at which an invoice may be acted on; None: any.
Expected = Collection[int] | None


class Moved(Exception):  # noqa: N818 - reads as what happened
    """The invoice has changed since the actor saw it; nothing was done."""

    def __init__(self, sequence: int) -> None:
        super().__init__(f"its sequence is {sequence}")
        self.sequence = sequence


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it. ``why``: why nothing was done, if nothing was."""

    invoice_id: str
    done: bool
    status_before: str
    status: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What an operator says became of an invoice; ``amount`` is in the currency of the payment."""

    status: Status
    amount: Decimal | None = None


def mark(store: Store, actor: Actor, invoice_id: str, request: Mark, expected: Expected = None) -> Done | None:
    """Mark an invoice as paid, failed, refunded or cancelled; None: there is no such invoice. Raises Moved."""
    outcome = _judge_one(store, actor, Act.MARK, invoice_id, expected, request)
    done = _came_of(Act.MARK, outcome)
    if done is None or done.done or outcome.status != request.status:
        return done
    paid, refunded = store.database.read(_amounts, invoice_id)
    if outcome.status == Status.REFUNDED:
        return _done(outcome, request.amount in refunded, "it is refunded already, and a mark changes no amount")
    known = "no amount is known" if paid is None else f"with {format_amount(paid)}"
    return _done(outcome, False, f"it is {outcome.status} already, {known}, and a mark changes no amount")


def cancel(store: Store, actor: Actor, invoice_id: str, expected: Expected = None) -> Done | None:
    """Cancel an order; None: there is no such invoice. The event has the actor's reason. Raises Moved."""
    return _came_of(Act.CANCEL, _judge_one(store, actor, Act.CANCEL, invoice_id, expected))


def recheck(store: Store, actor: Actor, invoice_id: str, expected: Expected = None) -> Done | None:
    """Have the provider asked about an invoice now; None: there is no such invoice. Raises Moved."""
    return _came_of(Act.RECHECK, _judge_one(store, actor, Act.RECHECK, invoice_id, expected))


def create_again(store: Store, actor: Actor, invoice_id: str, expected: Expected = None) -> Done | None:
    """Have an invoice in doubt created again; None: there is no such invoice. Raises Moved."""
    return _came_of(Act.CREATE_AGAIN, _judge_one(store, actor, Act.CREATE_AGAIN, invoice_id, expected))


def do_to_many(
    store: Store,
    actor: Actor,
    act: Act,
    invoice_ids: Sequence[str],
    beside: Callable[[Connection, list[Done]], None],
    *,
    request: Mark | None = None,
    said: Values | None = None,
) -> list[Done]:
    """Do one of these acts on several invoices in one transaction. Each is judged and recorded by itself, with
    ``said``. Before the commit ``beside`` is given what came of them; if it raises, nothing is done."""
    evidence = evidence_of(act, actor, request)

    def write(connection: Connection, outcomes: list[Outcome]) -> None:
        _record(connection, store, actor, act, outcomes, {**_said(request), **(said or {})})
        beside(connection, came(outcomes))

    def came(outcomes: Sequence[Outcome]) -> list[Done]:
        return [done for outcome in outcomes if (done := _came_of(act, outcome)) is not None]

    return came(store.judge([Judgement(one, evidence) for one in invoice_ids], write))


def evidence_of(act: Act, actor: Actor, request: Mark | None = None) -> Evidence:
    """What such an act says of an invoice."""
    reason = actor.reason or BY_HAND
    if request is not None:
        return Marked(status=request.status, reason=reason, by=actor.name, paid_amount=request.amount)
    if act is Act.RECHECK:
        return RecheckRequested(reason=reason, by=actor.name)
    if act is Act.CREATE_AGAIN:
        return RetryRequested(reason="created again by hand")
    return CancelRequested(reason=reason)


def create_all_again(store: Store, actor: Actor, invoice_ids: Iterable[str] | None = None) -> Iterator[Done]:
    """The same for each of these, or for all that are in doubt, one after the other."""
    if invoice_ids is None:
        in_doubt = Wanted(statuses=[Status.IN_DOUBT])
        invoice_ids = [row.id for row in list_invoices(store.database, in_doubt, limit=0)]
    for invoice_id in invoice_ids:
        if (done := create_again(store, actor, invoice_id)) is not None:
            yield done


def _judge_one(
    store: Store, actor: Actor, act: Act, invoice_id: str, expected: Expected, request: Mark | None = None
) -> Outcome:
    def beside(connection: Connection, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            if expected is not None and one.sequence_before is not None and one.sequence_before not in expected:
                raise Moved(one.sequence_before)  # rolls back what was judged
        _record(connection, store, actor, act, outcomes, _said(request))

    (outcome,) = store.judge([Judgement(invoice_id, evidence_of(act, actor, request))], beside)
    return outcome


def _said(request: Mark | None) -> Values:
    return {} if request is None else {"marked_as": request.status.value, "amount": request.amount}


def _record(
    connection: Connection, store: Store, actor: Actor, act: Act, outcomes: Sequence[Outcome], said: Values
) -> None:
    deeds = [_deed(act, one, said) for one in outcomes if one.verdict not in _IDLE]
    record(connection, store.database, actor, deeds)


def _came_of(act: Act, outcome: Outcome) -> Done | None:
    """None: there is no such invoice."""
    applied, status = outcome.verdict == "applied", outcome.status
    if act is Act.RECHECK:
        return _done(outcome, outcome.verdict == "noted", outcome.note)
    if act is Act.CREATE_AGAIN:
        return _done(outcome, outcome.verdict not in _IDLE, f"it is {status}, not in doubt")
    if act is Act.CANCEL:
        return _done(outcome, applied and status == Status.CANCELLED, f"it is {status}")
    confirmed = outcome.verdict == "noted" and (outcome.note or "").startswith(CONFIRMED)
    return _done(outcome, applied or confirmed, f"it is {status}")


def _amounts(connection: Connection, invoice_id: str) -> tuple[Decimal | None, set[Decimal | None]]:
    """What was paid, and what was given back, as told."""
    paid = connection.scalar(select(INVOICE.c.paid_amount).where(INVOICE.c.id == invoice_id))
    refunds = select(PAYMENT.c.total).where(PAYMENT.c.invoice_id == invoice_id, PAYMENT.c.kind == "refund")
    return paid, set(connection.execute(refunds).scalars())


def _deed(act: Act, outcome: Outcome, said: Values) -> Deed:
    told = {**said, "verdict": str(outcome.verdict), "note": outcome.note}
    return Deed(
        act=act,
        invoice_id=outcome.invoice_id,
        account=outcome.account,
        before={"status": outcome.status_before},
        after={"status": outcome.status} | {name: value for name, value in told.items() if value is not None},
    )


def _done(outcome: Outcome, done: bool, why: str | None) -> Done | None:
    if outcome.status_before is None or outcome.status is None:
        return None
    return Done(outcome.invoice_id, done, outcome.status_before, outcome.status, None if done else why)
