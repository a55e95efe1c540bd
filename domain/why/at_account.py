"""Causes that lie with an order's account and its provider: refused, unreachable, in doubt, waiting for its turn."""

from __future__ import annotations

from datetime import timedelta

from domain.decision import Stage
from domain.evidence import FAILED_LOOK_UP, CredentialsRefused, ProviderRefused, RateLimited, Unreachable, Unreadable
from domain.lifecycle import REFUSED_REASONS
from domain.status import OPEN, UNMADE, Status
from domain.why.cause import Cause, Why
from domain.why.facts import LATE, AskedInvoice, Facts, Said
from domain.why.words import at, counted, nth, quoted, times

_TRIED_AGAIN = "the account is tried again"


def key_refused(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """Its key, right now: at a create, or at a look-up."""
    what = f"the provider refuses the key of account {invoice.provider_account}"
    return _refused(facts, invoice, CredentialsRefused, Cause.KEY_REFUSED, what)


def provider_refuses(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """Something before the provider lets no call through."""
    what = f"calls of account {invoice.provider_account} are turned away before the provider"
    return _refused(facts, invoice, ProviderRefused, Cause.PROVIDER_REFUSES, what)


def _refused(facts: Facts, invoice: AskedInvoice, kind: type, cause: Cause, what: str) -> Why | None:
    said = facts.said
    if invoice.status in UNMADE and invoice.refused_since is not None:
        known = invoice.reason if invoice.reason in REFUSED_REASONS.values() else None
        last = {name.__name__: reason for name, reason in REFUSED_REASONS.items()}.get(said.kind if said else "")
        if (known or last or REFUSED_REASONS[CredentialsRefused]) != REFUSED_REASONS[kind]:
            return None
        row = facts.planned(Stage.CREATE)
        hold = facts.account.hold_refused_minutes if facts.account else None
        ends = invoice.refused_since + timedelta(minutes=float(hold)) if hold is not None else None
        fails = f"; the order fails at {at(ends)}" if ends and invoice.status == Status.QUEUED else ""
        text = f"{what}{quoted(said.reason if said else None)}{fails}"
        next_at = row.due_at if row else ends
        return Why(
            cause=cause, text=text, since=invoice.refused_since, next_at=next_at, next=_TRIED_AGAIN, command=_SEE
        )
    if _looks_fail(facts, invoice, kind):
        return _failing_look(facts, cause, f"{what} at look-ups")
    return None


_SEE = "invoices doctor"


def unreachable(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """The provider was not reached, or brought no answer that can be read."""
    provider = f"the provider of account {invoice.provider_account}"
    if invoice.status in UNMADE and invoice.create_tries > 0:
        row = facts.planned(Stage.CREATE)
        said = facts.said if facts.said and facts.said.kind == Unreachable.__name__ else None
        text = (
            f"{provider} can't be reached{quoted(said.reason if said else None)}, tried {times(invoice.create_tries)}"
        )
        since = said.at if said else invoice.updated_at
        next_at = row.due_at if row else None
        return Why(
            cause=Cause.PROVIDER_UNREACHABLE, text=text, since=since, next_at=next_at, next="it is called again",
            command=_SEE,
        )  # fmt: skip
    if _looks_fail(facts, invoice, Unreachable):
        return _failing_look(facts, Cause.PROVIDER_UNREACHABLE, f"{provider} can't be reached")
    if _looks_fail(facts, invoice, Unreadable):
        return _failing_look(facts, Cause.PROVIDER_UNREACHABLE, f"{provider} brings no answer that can be read")
    return None


def _looks_fail(facts: Facts, invoice: AskedInvoice, kind: type) -> bool:
    """Whether the last look-up of an invoice that waits for one brought this instead of an answer."""
    is_asked = invoice.status in OPEN - UNMADE or bool(invoice.called_status)
    failing = (invoice.evidence_digest or "").startswith(FAILED_LOOK_UP)
    return is_asked and failing and facts.said is not None and facts.said.kind == kind.__name__


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
    """Slots, the rate, or a provider that asked us to wait."""
    limited = facts.said is not None and facts.said.kind == RateLimited.__name__
    if invoice.status == Status.QUEUED:
        return _put_off(facts, invoice, Stage.CREATE) if invoice.create_tries < 0 else _in_line(facts, invoice)
    if limited and _looks_fail(facts, invoice, RateLimited):
        return _put_off(facts, invoice, Stage.CHECK)
    return _late_look(facts, invoice)


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


#: What a look-up brought instead of an answer, and what that makes an invoice wait for.
_LOOKED = {
    CredentialsRefused.__name__: Cause.KEY_REFUSED,
    ProviderRefused.__name__: Cause.PROVIDER_REFUSES,
    Unreachable.__name__: Cause.PROVIDER_UNREACHABLE,
    Unreadable.__name__: Cause.PROVIDER_UNREACHABLE,
    RateLimited.__name__: Cause.WAITS_FOR_ACCOUNT,
}


def held_up_by(status: Status, is_refused: bool, create_tries: int, said: Said | None) -> Cause | None:
    """What holds up an open invoice that is refused, was not received, was put off, or is looked up in vain; the same
    in short as is told of one. None: nothing that its account has to do with."""
    kind = "" if said is None else said.kind
    if status not in UNMADE:
        return _LOOKED.get(kind)
    if is_refused:
        return Cause.PROVIDER_REFUSES if kind == ProviderRefused.__name__ else Cause.KEY_REFUSED
    if create_tries > 0:
        return Cause.PROVIDER_UNREACHABLE
    return Cause.WAITS_FOR_ACCOUNT if create_tries < 0 and status is Status.QUEUED else None
