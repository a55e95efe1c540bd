"""Causes that lie with an order's account and its provider: refused, unreachable, in doubt, waiting for its turn."""

from __future__ import annotations

from datetime import timedelta

from domain.decision import Stage
from domain.evidence import Unreachable, Unreadable
from domain.status import OPEN, Status
from domain.why.cause import Cause, Why
from domain.why.facts import LATE, AskedInvoice, Facts
from domain.why.held_up import cause_at_account, is_out_of_reach, is_refused
from domain.why.words import at, counted, nth, quoted, times

_TRIED_AGAIN = "the account is tried again"


def key_refused(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """The account's key is refused right now, at creates or at look-ups."""
    what = f"the provider refuses the key of account {invoice.provider_account}"
    return _refused(facts, invoice, Cause.KEY_REFUSED, what)


def provider_refuses(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """Something in front of the provider lets no call through."""
    what = f"calls of account {invoice.provider_account} are turned away before the provider"
    return _refused(facts, invoice, Cause.PROVIDER_REFUSES, what)


def _refused(facts: Facts, invoice: AskedInvoice, cause: Cause, what: str) -> Why | None:
    said = facts.said
    if cause_at_account(invoice, said) is not cause:
        return None
    if invoice.refused_since is None or not is_refused(invoice):
        return _failing_look(facts, cause, f"{what} at look-ups")
    row = facts.planned(Stage.CREATE)
    hold = facts.account.hold_refused_minutes if facts.account else None
    ends = invoice.refused_since + timedelta(minutes=float(hold)) if hold is not None else None
    fails = f"; the order fails at {at(ends)}" if ends and invoice.status == Status.QUEUED else ""
    text = f"{what}{quoted(said.reason if said else None)}{fails}"
    next_at = row.due_at if row else ends
    return Why(cause=cause, text=text, since=invoice.refused_since, next_at=next_at, next=_TRIED_AGAIN, command=_SEE)


_SEE = "invoices doctor"


def unreachable(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """The provider was not reached, or gave no readable answer."""
    if cause_at_account(invoice, facts.said) is not Cause.PROVIDER_UNREACHABLE:
        return None
    provider = f"the provider of account {invoice.provider_account}"
    if not is_out_of_reach(invoice):
        unread = facts.said is not None and facts.said.kind == Unreadable.__name__
        failing = "brings no answer that can be read" if unread else "can't be reached"
        return _failing_look(facts, Cause.PROVIDER_UNREACHABLE, f"{provider} {failing}")
    row = facts.planned(Stage.CREATE)
    said = facts.said if facts.said and facts.said.kind == Unreachable.__name__ else None
    reason = quoted(said.reason if said else None)
    return Why(
        cause=Cause.PROVIDER_UNREACHABLE,
        text=f"{provider} can't be reached{reason}, tried {times(invoice.create_tries)}",
        since=said.at if said else invoice.updated_at,
        next_at=row.due_at if row else None,
        next="it is called again",
        command=_SEE,
    )


def _failing_look(facts: Facts, cause: Cause, what: str) -> Why:
    said, row = facts.said, facts.planned(Stage.CHECK)
    again = f", {times(said.repeats + 1)}" if said and said.repeats else ""
    return Why(
        cause=cause,
        text=f"{what}{quoted(said.reason if said else None)}{again}, and a payment would not be seen",
        since=said.at if said else None,
        next_at=row.due_at if row else None,
        next="the next look-up",
        command=_SEE,
    )


def in_doubt(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """A create was sent and its answer was lost."""
    if invoice.status != Status.IN_DOUBT:
        return None
    row = facts.planned(Stage.CREATE)
    lost = f"the answer of a create was lost{quoted(invoice.reason)}, {times(max(invoice.doubts, 1))}"
    if row is None:
        by = "on_doubt is hold" if facts.account and facts.account.on_doubt == "hold" else "its repeats are used up"
        text = f"{lost}, and a person decides because {by}"
        command = f"invoices redrive doubt {invoice.id}"
        return Why(cause=Cause.IN_DOUBT, text=text, since=invoice.updated_at, command=command)
    is_search = invoice.searches is not None and invoice.sought != invoice.doubts
    next_is = f"search {(invoice.searches or 0) + 1}" if is_search else f"the {nth(max(invoice.doubts, 1))} repeat"
    due = f" at {at(row.due_at)}" if row.due_at else ""
    what = "the provider is searched for it" if is_search else "it is created again"
    text = f"{lost}; {next_is} is due{due}"
    return Why(cause=Cause.IN_DOUBT, text=text, since=invoice.updated_at, next_at=row.due_at, next=what)


def waits_for_account(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """It waits for a slot or for the account's rate, or because the provider asked us to."""
    is_put_off = cause_at_account(invoice, facts.said) is Cause.WAITS_FOR_ACCOUNT
    if invoice.status == Status.QUEUED:
        return _put_off(facts, invoice, Stage.CREATE) if is_put_off else _in_line(facts, invoice)
    return _put_off(facts, invoice, Stage.CHECK) if is_put_off else _late_look(facts, invoice)


def _late_look(facts: Facts, invoice: AskedInvoice) -> Why | None:
    row = facts.planned(Stage.CHECK)
    if invoice.status not in OPEN or row is None or row.due_at is None or facts.now - row.due_at <= LATE:
        return None
    text = f"its look-up waits for its turn at account {invoice.provider_account}: its slots or its rate are used up"
    return Why(cause=Cause.WAITS_FOR_ACCOUNT, text=text, since=row.due_at, next="the provider is asked")


def _put_off(facts: Facts, invoice: AskedInvoice, stage: Stage) -> Why:
    row, said = facts.planned(stage), facts.said
    until = f" until {at(row.due_at)}" if row and row.due_at else ""
    return Why(
        cause=Cause.WAITS_FOR_ACCOUNT,
        text=f"the provider of account {invoice.provider_account} asked us to wait (429){until}",
        since=said.at if said else invoice.updated_at,
        next_at=row.due_at if row else None,
        next="it is asked again",
    )


def _in_line(facts: Facts, invoice: AskedInvoice) -> Why:
    row, queue, account = facts.planned(Stage.CREATE), facts.queue, facts.account
    limits = []
    if account is not None:
        workers = max(1, len(facts.crew.alive("worker")))
        limits.append(f"{queue.in_hand:,} of {account.max_in_flight * workers:,} calls are under way")
        limits += [f"at most {account.rate_per_second:g} a second"] if account.rate_per_second else []
    limits.append(f"{counted(queue.ahead, 'order is', 'orders are')} before it")
    return Why(
        cause=Cause.WAITS_FOR_ACCOUNT,
        text=f"it waits for its turn at account {invoice.provider_account}: {', '.join(limits)}",
        since=row.due_at if row and row.is_due(facts.now) else invoice.created_at,
        next_at=row.due_at if row else None,
        next="it is made at the provider",
    )
