"""The first cause that holds for an order. Each cause has a function; PRECEDENCE has their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from domain.decision import Stage
from domain.status import WATCHED, Status
from domain.why import at_account, beside
from domain.why.cause import Cause, Why
from domain.why.facts import LATE, WORK, AskedInvoice, Facts, Planned
from domain.why.sentence import Sentence, say
from domain.why.words import PROVIDER, at, named, quoted, times

#: The status by which a mark settles a contradiction, where that is not the invoice's own alone: a late payment counts.
_MARK = {Status.EXPIRED: Status.PAID}


def first_cause(facts: Facts) -> Why:
    """There always is one: if nothing else holds the order is final."""
    why = _cause_of(facts, facts.invoice) if facts.invoice else _rejected(facts) or _unknown(facts)
    return replace(why, text=why.text.whole(), drift=facts.drift)


def _cause_of(facts: Facts, invoice: AskedInvoice) -> Why:
    return next(why for holds in PRECEDENCE if (why := holds(facts, invoice)) is not None)


def _rejected(facts: Facts) -> Why | None:
    message = facts.rejected
    if message is None:
        return None
    again = say("once its cause is mended it can be sent again" if message.complete else "it can't be sent again")
    return Why(
        cause=Cause.REJECTED_MESSAGE,
        text=say(
            "the message was rejected{reason} and is listed as number {number}; {again}",
            reason=quoted(message.reason),
            number=str(message.number),
            again=again,
        ),
        since=message.at,
        command=f"invoices redrive rejected {message.number}" if message.complete else "invoices rejected --waiting",
    )


def _unknown(facts: Facts) -> Why:
    last = say("no order was ever taken")
    if facts.last_order is not None:
        account, taken_at = facts.last_order
        last = say("the newest order was taken for {account} at {at}", account=account, at=at(taken_at))
    known = say("nothing is known by the name {name}; {last}", name=repr(facts.name), last=last)
    if facts.crew.alive("intake"):
        return Why(cause=Cause.UNKNOWN_ORDER, text=known)
    return Why(
        cause=Cause.UNKNOWN_ORDER,
        text=say("{known}; no intake process runs, so it may wait in the broker", known=known),
        since=facts.crew.seen_at("intake"),
        next=say("an intake process takes it, where it waits in the broker"),
        command="invoices up",
    )


def _contradiction(facts: Facts, invoice: AskedInvoice) -> Why | None:
    against = facts.against
    if against is None:
        return None
    is_late = invoice.status == Status.EXPIRED
    known = say("what is known is that it is {status}", status=named(invoice.status))
    what = say("a payment came late and is held") if is_late else known
    marked = _MARK.get(Status(invoice.status), Status(invoice.status))
    text = say(
        "the {source} contradicts it{note}: {what}, and a person decides",
        source=named(against.source or PROVIDER),
        note=quoted(against.note),
        what=what,
    )
    if is_late:
        text = say("{text}: marked as paid it counts, marked as expired it stays expired", text=text)
    return Why(
        cause=Cause.CONTRADICTION,
        text=text,
        since=against.at,
        command=f"invoices mark {invoice.id} {marked} --reason REASON",
    )


def _parked(facts: Facts, invoice: AskedInvoice) -> Why | None:
    row = next((one for one in facts.agenda if one.due_at is None), None)
    if row is None:
        return None
    return Why(
        cause=Cause.PARKED,
        text=say(
            "{work} ended whoever took it up, {times}, and was parked",
            work=WORK[row.stage],
            times=times(row.claims),
        ),
        since=invoice.updated_at,
        command="invoices redrive parked",
    )


def _no_worker(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """Some of its work is due, or seems to be under way, and no worker is there to do it."""
    left = [row for row in _left(facts) if not facts.crew.works_for(_account_of(row, invoice))]
    if left:
        row = min(left, key=lambda one: one.due_at or facts.now)
        if not facts.crew.alive("worker"):
            seen = facts.crew.seen_at("worker")
            who = say("no worker was seen since {at}", at=at(seen)) if seen else say("no worker was ever seen")
            return _nobody(_waits(row, who), seen or row.due_at, "invoices up")
        account = invoice.provider_account
        who = say("no worker that runs has account {account} in its settings", account=account)
        return _nobody(_waits(row, who), row.due_at, "invoices doctor")
    clock = facts.planned(Stage.CLOCK)
    if clock is None or clock.due_at is None or facts.now - clock.due_at <= LATE:
        return None
    text = say("a time of it has run out at {at}, and the workers that run don't take that up", at=at(clock.due_at))
    return _nobody(text, clock.due_at, "invoices doctor")


def _waits(row: Planned, who: Sentence) -> Sentence:
    return say("{work} waits and {who}", work=WORK[row.stage], who=who)


def _nobody(text: Sentence, since: datetime | None, command: str) -> Why:
    start = say("the first worker that starts takes it up")
    return Why(cause=Cause.NO_WORKER, text=text, since=since, next=start, command=command)


def _left(facts: Facts) -> list[Planned]:
    """The work that a worker should be at: it is due, or leased to workers that are gone."""
    disabled = {webhook.endpoint for webhook in facts.webhooks if webhook.disabled_at is not None}
    are_gone = bool(facts.crew.gone(["worker"]))
    untold = facts.untold
    publish = [Planned(Stage.PUBLISH, untold.at, leased=False, claims=0, lane="")] if untold else []
    return [
        row
        for row in (*facts.agenda, *publish)
        if (row.is_due(facts.now) or (row.is_held(facts.now) and are_gone)) and row.lane not in disabled
    ]


def _account_of(row: Planned, invoice: AskedInvoice) -> str | None:
    """The account that the work belongs to; None: any worker does it."""
    return invoice.provider_account if row.stage in {Stage.CREATE, Stage.CHECK} else None


def waits_for_callback(invoice: AskedInvoice, stages: set[str]) -> bool:
    """Whether a made invoice is watched, but the provider can't be asked about it: no look-up is planned."""
    watched = invoice.status in WATCHED or invoice.status == Status.EXPIRED
    planned = Stage.CHECK.value in stages or Stage.CLOCK.value not in stages
    return bool(watched and invoice.provider_ref and not invoice.asked_by and not planned)


def _cannot_be_asked(facts: Facts, invoice: AskedInvoice) -> Why | None:
    stages = {row.stage.value for row in facts.agenda}
    if invoice.status == Status.EXPIRED or not waits_for_callback(invoice, stages):
        return None
    place = say("callbacks bring it")
    if facts.callback_place:
        place = say("callbacks go to {place}", place=facts.callback_place)
    return Why(
        cause=Cause.CANNOT_BE_ASKED,
        text=say(
            "the provider can't be asked about it before its first callback brings what to ask by; {place}; {called}",
            place=place,
            called=_called(facts, invoice),
        ),
        since=invoice.updated_at,
        next_at=invoice.expires_at,
        next=say("it expires, unless a callback comes before"),
        command=f"invoices callbacks test {invoice.provider_account}",
    )


def _called(facts: Facts, invoice: AskedInvoice) -> Sentence:
    account = invoice.provider_account
    called = say("none came for {account} yet", account=account)
    if facts.called_at:
        called = say("the last callback of {account} came at {at}", account=account, at=at(facts.called_at))
    if not facts.is_paid_elsewhere:
        return called
    return say(
        "{called}, though invoices of other accounts were paid meanwhile: that address may not be set at the provider",
        called=called,
    )


def _confirming(facts: Facts, invoice: AskedInvoice) -> Why | None:
    look = facts.planned(Stage.CHECK)
    next_at = look.due_at if look else None
    if invoice.status == Status.CONFIRMING:
        told = say(", {number} so far", number=facts.confirmations) if facts.confirmations is not None else ""
        text = say("a payment was seen and waits for its confirmations{told}", told=told)
        return Why(cause=Cause.CONFIRMING, text=text, since=invoice.updated_at, next_at=next_at, next=_LOOK)
    if invoice.called_status and invoice.status not in _ENDED:
        said = say(
            "a callback said {word}, which the provider's own answer has not confirmed yet",
            word=str(invoice.called_word),
        )
        recheck = f"invoices recheck {invoice.id} --reason REASON"
        since = invoice.called_at or invoice.updated_at
        return Why(cause=Cause.CONFIRMING, text=said, since=since, next_at=next_at, next=_LOOK, command=recheck)
    return None


_LOOK = say("the provider is asked again")


def _waits_for_payer(facts: Facts, invoice: AskedInvoice) -> Why | None:
    if invoice.status not in {Status.PENDING, Status.PARTIALLY_PAID}:
        return None
    look = facts.planned(Stage.CHECK)
    is_part = invoice.status == Status.PARTIALLY_PAID
    paid = say("it waits for the rest of the payment" if is_part else "it waits for the payment")
    expires = say("; it expires at {at}", at=at(invoice.expires_at)) if invoice.expires_at else ""
    return Why(
        cause=Cause.WAITS_FOR_PAYER,
        text=say("{paid}{expires}", paid=paid, expires=expires),
        since=invoice.updated_at,
        next_at=look.due_at if look else invoice.expires_at,
        next=_LOOK if look else say("it expires"),
    )


_ENDED = frozenset({Status.PAID, Status.FAILED, Status.CANCELLED, Status.REFUNDED, Status.EXPIRED})


def _final(facts: Facts, invoice: AskedInvoice) -> Why:
    why = f" ({invoice.reason})" if invoice.reason else ""
    anomaly = say(", {anomaly}", anomaly=named(invoice.anomaly)) if invoice.anomaly else ""
    parts = {"status": named(invoice.status), "anomaly": anomaly, "why": why}
    text = say("it is {status}{anomaly}{why}; nothing more will happen", **parts)
    until = invoice.monitor_until
    if invoice.status == Status.EXPIRED and until is not None and until > facts.now:
        text = say(
            "it is expired{anomaly}; only a payment that comes late would change it, until {at}",
            anomaly=anomaly,
            at=at(until),
        )
        no_more = say("a late payment counts no more")
        return Why(cause=Cause.FINAL, text=text, since=invoice.updated_at, next_at=until, next=no_more)
    return Why(cause=Cause.FINAL, text=text, since=invoice.updated_at)


Holds = Callable[[Facts, AskedInvoice], Why | None]

#: The causes of an order that is stored. The first two causes are for names without one.
PRECEDENCE: tuple[Holds, ...] = (
    _contradiction,
    _parked,
    at_account.key_refused,
    at_account.provider_refuses,
    _no_worker,
    at_account.unreachable,
    at_account.in_doubt,
    beside.webhook_waits,
    beside.stream_behind,
    beside.in_call,
    at_account.waits_for_account,
    _cannot_be_asked,
    _confirming,
    _waits_for_payer,
    _final,
)
