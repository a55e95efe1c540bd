"""Causes in the work around an order: its webhooks, the stream of events, a worker that has it in hand."""

from __future__ import annotations

from datetime import timedelta

from domain.schedule import DELIVERY_DELAYS
from domain.why.cause import Cause, Why
from domain.why.facts import WORK, AskedInvoice, Facts, Webhook
from domain.why.words import at, counted, nth, quoted

#: Events are on the stream within a second, and webhooks are tried within two.
SOON = timedelta(seconds=5)
MOST_TRIES = len(DELIVERY_DELAYS)


def webhook_waits(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """An endpoint has not taken an event: attempts failed, the endpoint is disabled, its breaker is open, or the event
    was given up."""
    held = [one for one in facts.webhooks if _is_held(one, facts)]
    return _tell_webhook(min(held, key=_urgency)) if held else None


def _is_held(webhook: Webhook, facts: Facts) -> bool:
    is_late = facts.now - webhook.created_at > SOON
    stopped = webhook.breaker != "closed" and is_late
    return webhook.dead or webhook.tries > 0 or webhook.disabled_at is not None or stopped


def _urgency(webhook: Webhook) -> tuple[bool, bool]:
    """Waiting deliveries go before those that were given up; a disabled endpoint's before those that are retried."""
    return webhook.dead, webhook.disabled_at is None


def _tell_webhook(webhook: Webhook) -> Why:
    behind = f"; {counted(webhook.behind, 'later one waits', 'later ones wait')} behind it" if webhook.behind else ""
    what = f"its {webhook.type} for endpoint {webhook.endpoint}"
    if webhook.dead:
        text = f"{what} was given up after {webhook.tries} tries{quoted(webhook.error)}"
        command = f"invoices deliveries replay --endpoint {webhook.endpoint} --dead-only"
        return Why(cause=Cause.WEBHOOK_WAITS, text=text, since=webhook.tried_at or webhook.created_at, command=command)
    if webhook.disabled_at is not None:
        text = f"{what} waits: the endpoint is disabled{quoted(webhook.disabled_reason)}{behind}"
        command = f"invoices endpoints enable {webhook.endpoint}"
        return Why(cause=Cause.WEBHOOK_WAITS, text=text, since=webhook.disabled_at, command=command)
    return _tell_tried(webhook, what, behind)


def _tell_tried(webhook: Webhook, what: str, behind: str) -> Why:
    is_open = f", its breaker is {webhook.breaker}" if webhook.breaker != "closed" else ""
    tried = f"was tried in vain, {webhook.tries} of {MOST_TRIES} tries" if webhook.tries else "was not tried yet"
    next_try = f"; try {webhook.tries + 1} is due at {at(webhook.next_try_at)}" if webhook.next_try_at else ""
    dead = f", after {MOST_TRIES} it is given up" if webhook.tries else ""
    return Why(
        cause=Cause.WEBHOOK_WAITS,
        text=f"{what} {tried}{quoted(webhook.error)}{is_open}{next_try}{dead}{behind}",
        since=webhook.created_at,
        next_at=webhook.next_try_at,
        next=f"the {nth(webhook.tries + 1)} try",
        command=f"invoices endpoints test {webhook.endpoint}",
    )


def stream_behind(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """One of its events should be on the stream, and is not."""
    untold = facts.untold
    if untold is None or facts.now - untold.at <= SOON:
        return None
    held = (
        f"a publisher tries, its lease runs until {at(untold.held_until)}"
        if untold.held_until
        else "no publisher holds the stream's lease right now"
    )
    return Why(
        cause=Cause.STREAM_BEHIND,
        text=f"its {untold.type} is not on the stream since {at(untold.at)}, {untold.events:,} in all: "
        f"Redis is away or takes none; {held}",
        since=untold.at,
        next_at=untold.held_until,
        next="the publisher tries again each second",
        command="invoices doctor",
    )


def in_call(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """A worker has the order in hand."""
    row = next((one for one in facts.agenda if one.is_held(facts.now)), None)
    if row is None or row.due_at is None:
        return None
    return Why(
        cause=Cause.IN_CALL,
        text=f"a worker is at {WORK[row.stage]}, by its {nth(max(row.claims, 1))} claim, with a lease until "
        f"{at(row.due_at)}",
        since=invoice.updated_at,
        next_at=row.due_at,
        next="its answer, or another worker takes it over",
    )
