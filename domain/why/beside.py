"""Causes in the work around an order: its webhooks, the stream of events, a worker that has it in hand."""

from __future__ import annotations

from datetime import timedelta

from domain.schedule import DELIVERY_DELAYS
from domain.why.cause import Cause, Why
from domain.why.facts import WORK, AskedInvoice, Facts, Webhook
from domain.why.sentence import Sentence, say
from domain.why.words import at, named, nth, quoted

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
    behind = _behind(webhook)
    what = say("its {type} for endpoint {endpoint}", type=webhook.type, endpoint=webhook.endpoint)
    if webhook.dead:
        error = quoted(webhook.error)
        text = say("{what} was given up after {number} tries{error}", what=what, number=webhook.tries, error=error)
        command = f"invoices deliveries replay --endpoint {webhook.endpoint} --dead-only"
        return Why(cause=Cause.WEBHOOK_WAITS, text=text, since=webhook.tried_at or webhook.created_at, command=command)
    if webhook.disabled_at is not None:
        reason = quoted(webhook.disabled_reason)
        text = say("{what} waits: the endpoint is disabled{reason}{behind}", what=what, reason=reason, behind=behind)
        command = f"invoices endpoints enable {webhook.endpoint}"
        return Why(cause=Cause.WEBHOOK_WAITS, text=text, since=webhook.disabled_at, command=command)
    return _tell_tried(webhook, what, behind)


def _behind(webhook: Webhook) -> str:
    if not webhook.behind:
        return ""
    number, is_one = webhook.behind, webhook.behind == 1
    return say(
        "; {number} later one waits behind it" if is_one else "; {number} later ones wait behind it", number=number
    )


def _tell_tried(webhook: Webhook, what: Sentence, behind: str) -> Why:
    tries, due = webhook.tries, webhook.next_try_at
    tried = say("{what} was not tried yet", what=what)
    if tries:
        tried = say("{what} was tried in vain, {number} of {most} tries", what=what, number=tries, most=MOST_TRIES)
    parts = {
        "tried": tried,
        "error": quoted(webhook.error),
        "breaker": say(", its breaker is {state}", state=named(webhook.breaker)) if webhook.breaker != "closed" else "",
        "next": say("; try {number} is due at {at}", number=tries + 1, at=at(due)) if due else "",
        "dead": say(", after {most} it is given up", most=MOST_TRIES) if tries else "",
        "behind": behind,
    }
    return Why(
        cause=Cause.WEBHOOK_WAITS,
        text=say("{tried}{error}{breaker}{next}{dead}{behind}", **parts),
        since=webhook.created_at,
        next_at=webhook.next_try_at,
        next=say("the {nth} try", nth=nth(webhook.tries + 1)),
        command=f"invoices endpoints test {webhook.endpoint}",
    )


def stream_behind(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """One of its events should be on the stream, and is not."""
    untold = facts.untold
    if untold is None or facts.now - untold.at <= SOON:
        return None
    held = say("no publisher holds the stream's lease right now")
    if untold.held_until:
        held = say("a publisher tries, its lease runs until {at}", at=at(untold.held_until))
    return Why(
        cause=Cause.STREAM_BEHIND,
        text=say(
            "its {type} is not on the stream since {at}, {number} in all: Redis is away or takes none; {held}",
            type=untold.type,
            at=at(untold.at),
            number=untold.events,
            held=held,
        ),
        since=untold.at,
        next_at=untold.held_until,
        next=say("the publisher tries again each second"),
        command="invoices doctor",
    )


def in_call(facts: Facts, invoice: AskedInvoice) -> Why | None:
    """A worker has the order in hand."""
    row = next((one for one in facts.agenda if one.is_held(facts.now)), None)
    if row is None or row.due_at is None:
        return None
    return Why(
        cause=Cause.IN_CALL,
        text=say(
            "a worker is at {work}, by its {nth} claim, with a lease until {at}",
            work=WORK[row.stage],
            nth=nth(max(row.claims, 1)),
            at=at(row.due_at),
        ),
        since=invoice.updated_at,
        next_at=row.due_at,
        next=say("its answer, or another worker takes it over"),
    )
