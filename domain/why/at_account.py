"""Causes that lie with an order's account and its provider: refused, unreachable, in doubt, waiting for its turn."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.decision import Stage
from domain.evidence import Unreachable, Unreadable
from domain.status import OPEN, Status
from domain.why.cause import Cause, Why
from domain.why.facts import LATE, AskedInvoice, Facts
from domain.why.held_up import cause_at_account, is_out_of_reach, is_refused
from domain.why.sentence import Sentence, listed, say
from domain.why.words import at, nth, orders_are, quoted, times

_TRIED_AGAIN = say("the account is tried again")


def key_refused(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """The account's key is refused right now, at creates or at look-ups."""
    what = say("the provider refuses the key of account {account}", account=invoice.provider_account)
    return _refused(facts, invoice, Cause.KEY_REFUSED, what)


def provider_refuses(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """Something in front of the provider lets no call through."""
    what = say("calls of account {account} are turned away before the provider", account=invoice.provider_account)
    return _refused(facts, invoice, Cause.PROVIDER_REFUSES, what)


def _refused(facts: Facts, invoice: AskedInvoice, cause: Cause, what: Sentence) -> Why | None:
    said = facts.said
    if cause_at_account(invoice, said) is not cause:
        return None
    if invoice.refused_since is None or not is_refused(invoice):
        return _failing_look(facts, cause, say("{what} at look-ups", what=what))
    row = facts.planned(Stage.CREATE)
    hold = facts.account.hold_refused_minutes if facts.account else None
    ends = invoice.refused_since + timedelta(minutes=float(hold)) if hold is not None else None
    fails = say("; the order fails at {at}", at=at(ends)) if ends and invoice.status == Status.QUEUED else ""
    text = say("{what}{reason}{fails}", what=what, reason=quoted(said.reason if said else None), fails=fails)
    next_at = row.due_at if row else ends
    return Why(cause=cause, text=text, since=invoice.refused_since, next_at=next_at, next=_TRIED_AGAIN, command=_SEE)


_SEE = "invoices doctor"


def unreachable(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """The provider was not reached, or gave no readable answer."""
    if cause_at_account(invoice, facts.said) is not Cause.PROVIDER_UNREACHABLE:
        return None
    account = invoice.provider_account
    if not is_out_of_reach(invoice):
        unread = facts.said is not None and facts.said.kind == Unreadable.__name__
        unreadable = say("the provider of account {account} brings no answer that can be read", account=account)
        failing = unreadable if unread else _unreached(account)
        return _failing_look(facts, Cause.PROVIDER_UNREACHABLE, failing)
    row = facts.planned(Stage.CREATE)
    said = facts.said if facts.said and facts.said.kind == Unreachable.__name__ else None
    reason = quoted(said.reason if said else None)
    return Why(
        cause=Cause.PROVIDER_UNREACHABLE,
        text=say(
            "{what}{reason}, tried {times}",
            what=_unreached(account),
            reason=reason,
            times=times(invoice.create_tries),
        ),
        since=said.at if said else invoice.updated_at,
        next_at=row.due_at if row else None,
        next=say("it is called again"),
        command=_SEE,
    )


def _unreached(account: str) -> Sentence:
    return say("the provider of account {account} can't be reached", account=account)


def _failing_look(facts: Facts, cause: Cause, what: Sentence) -> Why:
    said, row = facts.said, facts.planned(Stage.CHECK)
    again = say(", {times}", times=times(said.repeats + 1)) if said and said.repeats else ""
    reason = quoted(said.reason if said else None)
    return Why(
        cause=cause,
        text=say("{what}{reason}{again}, and a payment would not be seen", what=what, reason=reason, again=again),
        since=said.at if said else None,
        next_at=row.due_at if row else None,
        next=say("the next look-up"),
        command=_SEE,
    )


def in_doubt(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """A create was sent and its answer was lost."""
    if invoice.status != Status.IN_DOUBT:
        return None
    row = facts.planned(Stage.CREATE)
    doubts = max(invoice.doubts, 1)
    lost = say("the answer of a create was lost{reason}, {times}", reason=quoted(invoice.reason), times=times(doubts))
    if row is None:
        is_held = facts.account is not None and facts.account.on_doubt == "hold"
        by = say("on_doubt is hold" if is_held else "its repeats are used up")
        text = say("{lost}, and a person decides because {by}", lost=lost, by=by)
        command = f"invoices redrive doubt {invoice.id}"
        return Why(cause=Cause.IN_DOUBT, text=text, since=invoice.updated_at, command=command)
    is_search = invoice.searches is not None and invoice.sought != invoice.doubts
    next_is = say("the {nth} repeat is due", nth=nth(doubts))
    if is_search:
        next_is = say("search {number} is due", number=(invoice.searches or 0) + 1)
    due = say(" at {at}", at=at(row.due_at)) if row.due_at else ""
    text = say("{lost}; {next}{due}", lost=lost, next=next_is, due=due)
    what = say("the provider is searched for it" if is_search else "it is created again")
    return Why(cause=Cause.IN_DOUBT, text=text, since=invoice.updated_at, next_at=row.due_at, next=what)


def waits_for_account(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """It waits for a slot or for the account's rate, or because the provider asked us to."""
    is_put_off = cause_at_account(invoice, facts.said) is Cause.WAITS_FOR_ACCOUNT
    if invoice.status == Status.QUEUED:
        return _put_off(facts, invoice, Stage.CREATE) if is_put_off else _in_line(facts, invoice)
    return _put_off(facts, invoice, Stage.CHECK) if is_put_off else _late_look(facts, invoice)


def _late_look(facts: Facts, invoice: AskedInvoice) -> Why | None:
    row = facts.planned(Stage.CHECK)
    if invoice.status not in OPEN or row is None or row.due_at is None:
        return None
    if facts.rests_until is not None and row.is_due(facts.now):
        return _resting(invoice, facts.rests_until, row.due_at)
    if facts.now - row.due_at <= LATE:
        return None
    text = say(
        "its look-up waits for its turn at account {account}: its slots or its rate are used up",
        account=invoice.provider_account,
    )
    return Why(cause=Cause.WAITS_FOR_ACCOUNT, text=text, since=row.due_at, next=say("the provider is asked"))


def _put_off(facts: Facts, invoice: AskedInvoice, stage: Stage) -> Why:
    row, said = facts.planned(stage), facts.said
    until = say(" until {at}", at=at(row.due_at)) if row and row.due_at else ""
    return Why(
        cause=Cause.WAITS_FOR_ACCOUNT,
        text=say(
            "the provider of account {account} asked us to wait (429){until}",
            account=invoice.provider_account,
            until=until,
        ),
        since=said.at if said else invoice.updated_at,
        next_at=row.due_at if row else None,
        next=say("it is asked again"),
    )


def _in_line(facts: Facts, invoice: AskedInvoice) -> Why:
    row, queue, account = facts.planned(Stage.CREATE), facts.queue, facts.account
    since = row.due_at if row and row.due_at and row.is_due(facts.now) else invoice.created_at
    if facts.rests_until is not None:
        return _resting(invoice, facts.rests_until, since)
    limits = []
    if account is not None:
        workers = max(1, len(facts.crew.alive("worker")))
        most = account.max_in_flight * workers
        limits.append(say("{number} of {most} calls are under way", number=queue.in_hand, most=most))
        if account.rate_per_second:
            limits.append(say("at most {rate} a second", rate=f"{account.rate_per_second:g}"))
    limits.append(say("{orders} before it", orders=orders_are(queue.ahead)))
    return Why(
        cause=Cause.WAITS_FOR_ACCOUNT,
        text=say(
            "it waits for its turn at account {account}: {limits}",
            account=invoice.provider_account,
            limits=listed(limits),
        ),
        since=since,
        next_at=row.due_at if row else None,
        next=say("it is made at the provider"),
    )


def _resting(invoice: AskedInvoice, until: datetime, since: datetime) -> Why:
    """The provider answered another call of its account so."""
    text = say(
        "it waits for its turn: the provider of account {account} asked us to wait (429) until {at}",
        account=invoice.provider_account,
        at=at(until),
    )
    return Why(cause=Cause.WAITS_FOR_ACCOUNT, text=text, since=since, next_at=until, next=say("it is asked again"))
